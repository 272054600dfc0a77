//! Text to token ids and back, without loss: a byte-level BPE in the `tokenizer.json` format of Hugging Face.
//!
//! Two promises that the format alone does not make:
//! - every UTF-8 text survives `decode(encode(text))`, because all 256 bytes are entries and nothing normalises the text;
//! - text that looks like a special token (`<|end|>` typed by a user) is plain text. Special ids come only from
//!   [`Tokenizer::end_of_text`] and [`Tokenizer::special`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::check_bpe;

/// Name of the token that ends a document.
pub const END_OF_TEXT: &str = "<|end|>";

/// Text with the habits that lossy tokenizers trip over: double and leading spaces, tabs, line ends, marks, ligatures.
const PROBE: &str = " A  b\tc\r\n\n\nÅ e\u{301} ﬁ 42 <|end|> 'tis\u{a0}… ";

/// What can be wrong with a tokenizer file.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file cannot be read.
    #[error("cannot read the tokenizer {path}: {source}")]
    Read {
        /// The file that was asked for.
        path: PathBuf,
        /// Why the system refused.
        source: std::io::Error,
    },
    /// The bytes are not a `tokenizer.json`.
    #[error("the tokenizer is not a valid tokenizer.json: {0}; train it again or restore the file")]
    Format(String),
    /// The tokenizer would change the text that it encodes.
    #[error("the tokenizer is not a lossless byte-level BPE: {0}; use a tokenizer that `drdiff data prepare` trained")]
    Lossy(String),
    /// The special token that ends a document is missing.
    #[error("the tokenizer has no special token {END_OF_TEXT}; use a tokenizer that `drdiff data prepare` trained")]
    NoEndOfText,
    /// Encoding failed inside the BPE.
    #[error("the text cannot be encoded: {0}")]
    Encode(String),
}

/// A byte-level BPE; cheap to clone, safe to share between threads.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bpe: tokenizers::Tokenizer,
    json: Vec<u8>,
    hash: String,
    /// Bytes of each id; empty for special tokens and for ids without an entry.
    bytes: Vec<Box<[u8]>>,
    specials: BTreeMap<String, u32>,
    end_of_text: u32,
}

impl Tokenizer {
    /// Reads the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// Bad JSON, a missing end-of-text token, or a tokenizer that does not give back every text.
    pub fn from_bytes(json: &[u8]) -> Result<Self, TokenizerError> {
        check_bpe(json)?;
        let mut bpe = tokenizers::Tokenizer::from_bytes(json).map_err(|e| TokenizerError::Format(e.to_string()))?;
        if bpe.get_normalizer().is_some() {
            return Err(TokenizerError::Lossy("it normalises the text".into()));
        }
        bpe.set_encode_special_tokens(true);
        bpe.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
        bpe.with_padding(None);
        bpe.with_truncation(None)
            .map_err(|e| TokenizerError::Format(e.to_string()))?;

        let specials: BTreeMap<String, u32> = bpe
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| token.special)
            .map(|(id, token)| (token.content, id))
            .collect();
        let end_of_text = *specials.get(END_OF_TEXT).ok_or(TokenizerError::NoEndOfText)?;
        let bytes = token_bytes(&bpe.get_vocab(true), &specials)?;
        let hash = blake3::hash(json).to_hex().to_string();
        let shared = Shared {
            bpe,
            json: json.to_vec(),
            hash,
            bytes,
            specials,
            end_of_text,
        };
        let tokenizer = Self {
            shared: Arc::new(shared),
        };
        if tokenizer.decode(&tokenizer.encode(PROBE)?) != PROBE {
            return Err(TokenizerError::Lossy("a text came back changed".into()));
        }
        Ok(tokenizer)
    }

    /// Reads a `tokenizer.json`; errors as [`Tokenizer::from_bytes`], and for an unreadable file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let path = path.as_ref();
        let json = std::fs::read(path).map_err(|source| TokenizerError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::from_bytes(&json)
    }

    /// Ids of `text`. The text of a special token is encoded like any other text.
    ///
    /// The BPE sees one paragraph at a time (see [`paragraphs`]), which bounds its memory and gives the same ids
    /// whether a document is encoded whole or streamed.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = Vec::with_capacity(text.len() / 4 + 1);
        for paragraph in paragraphs(text) {
            let encoding = self
                .shared
                .bpe
                .encode_fast(paragraph, false)
                .map_err(|e| TokenizerError::Encode(e.to_string()))?;
            ids.extend_from_slice(encoding.get_ids());
        }
        Ok(ids)
    }

    /// Text of `ids`; special tokens and unknown ids give nothing, bytes that are not UTF-8 give U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.bytes_of(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A decoder for ids that arrive one by one.
    pub fn decode_stream(&self) -> DecodeStream {
        DecodeStream {
            tokenizer: self.clone(),
            held: Vec::new(),
        }
    }

    /// Bytes of text that `id` stands for; empty for special tokens and unknown ids.
    pub fn bytes_of(&self, id: u32) -> &[u8] {
        self.shared.bytes.get(id as usize).map_or(&[], |bytes| bytes)
    }

    /// Number of ids, special tokens included: ids are `0..vocab_size()`.
    pub fn vocab_size(&self) -> usize {
        self.shared.bytes.len()
    }

    /// The id that ends a document.
    pub fn end_of_text(&self) -> u32 {
        self.shared.end_of_text
    }

    /// The id of the special token `name`, if the tokenizer has one.
    pub fn special(&self, name: &str) -> Option<u32> {
        self.shared.specials.get(name).copied()
    }

    /// All special tokens by name.
    pub fn specials(&self) -> &BTreeMap<String, u32> {
        &self.shared.specials
    }

    /// blake3 of the `tokenizer.json`, in hex: what checkpoints and corpora remember.
    pub fn hash(&self) -> &str {
        &self.shared.hash
    }

    /// The `tokenizer.json` itself, to be stored beside a model.
    pub fn json(&self) -> &[u8] {
        &self.shared.json
    }
}

/// Decodes a growing sequence of ids; never emits half a character.
#[derive(Clone, Debug)]
pub struct DecodeStream {
    tokenizer: Tokenizer,
    /// At most three bytes of a character that is not complete yet.
    held: Vec<u8>,
}

impl DecodeStream {
    /// Adds `ids` and returns the text that is complete by now.
    pub fn push(&mut self, ids: &[u32]) -> String {
        for &id in ids {
            self.held.extend_from_slice(self.tokenizer.bytes_of(id));
        }
        let incomplete = incomplete_suffix(&self.held);
        let rest = self.held.split_off(self.held.len() - incomplete);
        let text = String::from_utf8_lossy(&self.held).into_owned();
        self.held = rest;
        text
    }

    /// The text of what is still held back: empty, or U+FFFD for a character that never became complete.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.held).into_owned()
    }
}

/// Splits a text after each run of blank lines; the pieces joined give the text back.
pub fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let blank = rest.find("\n\n").unwrap_or(rest.len());
        let end = rest[blank..].find(|c| c != '\n').map_or(rest.len(), |run| blank + run);
        let (paragraph, tail) = rest.split_at(end);
        rest = tail;
        Some(paragraph)
    })
}

/// Length of the unfinished character at the end of `bytes` (0 to 3); bytes that can never become one count as finished.
fn incomplete_suffix(bytes: &[u8]) -> usize {
    (1..=bytes.len().min(3))
        .find(|&n| {
            let tail = &bytes[bytes.len() - n..];
            std::str::from_utf8(tail).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
        })
        .unwrap_or(0)
}

/// Inverts the printable spelling of bytes that byte-level BPE files use (GPT-2: printable Latin-1 stands for itself,
/// the other bytes are numbered from U+0100 on).
fn token_bytes(
    vocab: &std::collections::HashMap<String, u32>,
    specials: &BTreeMap<String, u32>,
) -> Result<Vec<Box<[u8]>>, TokenizerError> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=u8::MAX)
        .filter(|&byte| !printable(byte))
        .zip('\u{100}'..)
        .map(|(byte, c)| (c, byte));
    let byte_of: BTreeMap<char, u8> = (0..=u8::MAX)
        .filter(|&byte| printable(byte))
        .map(|byte| (char::from(byte), byte))
        .chain(others)
        .collect();

    if let Some((_, byte)) = byte_of
        .iter()
        .find(|(c, _)| !vocab.contains_key(c.to_string().as_str()))
    {
        return Err(TokenizerError::Lossy(format!("it has no entry for the byte {byte}")));
    }
    let size = vocab.values().map(|&id| id as usize + 1).max().unwrap_or(0);
    let mut bytes = vec![Box::default(); size];
    for (token, &id) in vocab.iter().filter(|(token, _)| !specials.contains_key(*token)) {
        let spelled: Option<Box<[u8]>> = token.chars().map(|c| byte_of.get(&c).copied()).collect();
        bytes[id as usize] =
            spelled.ok_or_else(|| TokenizerError::Lossy(format!("the entry {token:?} does not spell bytes")))?;
    }
    Ok(bytes)
}
