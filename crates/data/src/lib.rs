//! Text files to token shards, and token shards to training windows.
//!
//! [`prepare`] reads `.txt`, `.jsonl` and `.jsonl.zst`, trains or reuses a tokenizer and writes a corpus folder:
//!
//! | file | content |
//! | --- | --- |
//! | `manifest.json` | options, hashes, counts ([`Manifest`]) |
//! | `tokenizer.json` | the tokenizer that made the ids |
//! | `train-<tier>.tokens`, `valid-<tier>.tokens` | header, token ids as u16, document offsets ([`Shard`]) |
//!
//! [`Corpus`] opens such a folder and draws [`Window`]s from it.

mod corpus;
mod draw;
mod error;
mod kept;
mod manifest;
mod passes;
mod prepare;
mod progress;
mod recall;
mod record;
mod repeats;
mod requests;
mod sample;
mod shard;
mod source;
mod tokenizer;
mod vocabulary;
mod windows;
mod words;
mod writer;

pub use corpus::{Corpus, Window};
pub use draw::{Sampler, Sampling};
pub use error::DataError;
pub use kept::VALID_SHARE;
pub use manifest::{Manifest, ShardEntry, SourceEntry, Split, TokenizerEntry};
pub use prepare::{PrepareOptions, TokenizerChoice, prepare};
pub use progress::{Progress, Stage};
pub use recall::{Haystack, Needle, VALUE, hay, haystack, recall_text, spread};
pub use requests::{MadeRequest, OPENINGS, RequestKind, made_request};
pub use shard::Shard;
pub use source::{Document, documents};
pub use tokenizer::{
    ChatTemplate, DecodeStream, END_OF_TEXT, GgufMetadata, Message, OWN_UNITS, Tokenizer, TokenizerError,
    TokenizerFiles, paragraphs,
};
pub use windows::text_windows;
pub use words::Words;
