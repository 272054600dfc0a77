//! Text to token ids and back, without loss: a BPE in the `tokenizer.json` format of Hugging Face, or from a GGUF file.
//!
//! Promises that the format alone does not make:
//! - every UTF-8 text survives `decode(encode(text))` or is refused in a sentence, because nothing else changes the text.
//!   Two exceptions, both the originals' own: where the tokenizer normalises to NFC (Qwen), the text comes back in NFC;
//!   where U+2581 stands for a space (Gemma), a U+2581 comes back as a space;
//! - text that looks like a special token (`<|end|>` typed by a user) is plain text. Special ids come only from
//!   [`Tokenizer::end_of_text`], its neighbours, [`Tokenizer::special`], and the markup of a [`ChatTemplate`].

mod chat;
mod cut;
mod error;
mod file;
mod folder;
mod gguf;
mod roles;
mod spelling;
mod stream;
mod units;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tokenizers::tokenizer::NormalizedString;
use tokenizers::{AddedToken, Normalizer};

use cut::Cut;
use file::File;
use roles::{Roles, Told};
use spelling::{SPACE, Spelling};

pub use chat::{ChatTemplate, Message};
pub use cut::paragraphs;
pub use error::TokenizerError;
pub use folder::TokenizerFiles;
pub use gguf::GgufMetadata;
pub use stream::DecodeStream;
pub use units::OWN as OWN_UNITS;

/// Name of the token that ends a document in this program's own tokenizers.
pub const END_OF_TEXT: &str = "<|end|>";

/// Text with the habits that lossy tokenizers trip over: double and leading spaces, tabs, line ends, marks, ligatures.
const PROBE: &str = " A  b\tc\r\n\n\nÅ e\u{301} ﬁ 42 <|end|> 'tis\u{a0}… ";

/// A BPE that gives back every text; cheap to clone, safe to share between threads.
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
    /// Bytes that no entry spells alone.
    missing: Vec<u8>,
    specials: BTreeMap<String, u32>,
    /// The special tokens as the file describes them.
    markup: Vec<(u32, AddedToken)>,
    roles: Roles,
    cut: Cut,
    spelling: Spelling,
}

impl Tokenizer {
    /// Reads the content of a `tokenizer.json`; a byte order mark before it is no part of it. Which tokens begin and end texts is found by their names; a folder
    /// ([`Tokenizer::from_files`]) says more.
    ///
    /// # Errors
    /// Bad JSON, no token that ends a text, or a tokenizer that does not give back every text.
    pub fn from_bytes(json: &[u8]) -> Result<Self, TokenizerError> {
        Self::build(drdiff_files::without_mark(json), |_| Ok(Told::default()))
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

    /// Builds from a `tokenizer.json` and what is told about roles, for which added tokens can be looked up by text.
    fn build(
        json: &[u8],
        told: impl FnOnce(&dyn Fn(&str) -> Option<u32>) -> Result<Told, TokenizerError>,
    ) -> Result<Self, TokenizerError> {
        let File {
            parts,
            post_processor,
            spelling,
        } = File::read(json)?;
        let pre_tokenizer = parts["pre_tokenizer"].clone();
        let declared = parts["added_tokens"].clone();
        let mut bpe: tokenizers::Tokenizer =
            serde_json::from_value(parts).map_err(|e| TokenizerError::Format(e.to_string()))?;
        bpe.set_encode_special_tokens(true);
        check_ids(&bpe, &declared)?;

        let (markup, literal): (Vec<_>, Vec<_>) = bpe
            .get_added_tokens_decoder()
            .into_iter()
            .partition(|(_, token)| token.special);
        let by_name = |tokens: &[(u32, AddedToken)]| -> BTreeMap<String, u32> {
            tokens.iter().map(|(id, token)| (token.content.clone(), *id)).collect()
        };
        let (specials, literal) = (by_name(&markup), by_name(&literal));
        let vocab = bpe.get_vocab(true);
        let bytes = spelling.bytes(&vocab, &literal, &specials);
        let told = told(&|name| vocab.get(name).copied())?;
        let first = first_token(&post_processor).and_then(|name| specials.get(&name).copied());
        let shared = Shared {
            hash: blake3::hash(json).to_hex().to_string(),
            json: json.to_vec(),
            missing: spelling.missing(&vocab)?,
            roles: Roles::decide(told, &specials, bytes.len(), first)?,
            cut: Cut::of(&pre_tokenizer, literal.keys().map(String::as_str)),
            spelling,
            bpe,
            bytes,
            specials,
            markup,
        };
        let tokenizer = Self {
            shared: Arc::new(shared),
        };
        if tokenizer.decode(&tokenizer.encode(PROBE)?) != tokenizer.normal_form(PROBE)? {
            return Err(TokenizerError::Lossy("a text came back changed".into()));
        }
        Ok(tokenizer)
    }

    /// Ids of `text`. The text of a special token is encoded like any other text; an added token that is not special
    /// (`<think>` of Qwen3) is found in it, as in the original.
    ///
    /// The BPE sees a long text in parts where that changes no id, which bounds its memory.
    ///
    /// # Errors
    /// A character that the vocabulary cannot spell; most vocabularies spell all.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        if let Some(c) = self.unspelled(text) {
            return Err(TokenizerError::Encode(format!(
                "the vocabulary cannot spell the character U+{:04X}; remove it from the text",
                u32::from(c)
            )));
        }
        let mut ids = Vec::with_capacity(text.len() / 4 + 1);
        for part in self.shared.cut.parts(text) {
            let encoding = self
                .shared
                .bpe
                .encode_fast(part, false)
                .map_err(|e| TokenizerError::Encode(e.to_string()))?;
            ids.extend_from_slice(encoding.get_ids());
        }
        Ok(ids)
    }

    /// The first character with a byte that no entry spells.
    fn unspelled(&self, text: &str) -> Option<char> {
        let missing = &self.shared.missing;
        if missing.is_empty() {
            return None;
        }
        let at = text.bytes().position(|byte| missing.contains(&byte))?;
        text[text.floor_char_boundary(at)..].chars().next()
    }

    /// Text of `ids`; special tokens and unknown ids give nothing, bytes that are not UTF-8 give U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.bytes_of(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A decoder for ids that arrive one by one.
    pub fn decode_stream(&self) -> DecodeStream {
        DecodeStream::new(self.clone())
    }

    /// What `decode(encode(text))` gives: `text`, in NFC where the tokenizer normalises to it.
    ///
    /// # Errors
    /// None that a valid tokenizer can cause.
    pub fn normal_form(&self, text: &str) -> Result<String, TokenizerError> {
        let mut normal = NormalizedString::from(text);
        if let Some(normalizer) = self.shared.bpe.get_normalizer() {
            normalizer
                .normalize(&mut normal)
                .map_err(|e| TokenizerError::Encode(e.to_string()))?;
        }
        Ok(match self.shared.spelling {
            Spelling::ByteLevel => normal.get().to_owned(),
            Spelling::Pieces => normal.get().replace(SPACE, " "),
        })
    }

    /// Bytes of text that `id` stands for; empty for special tokens and unknown ids.
    pub fn bytes_of(&self, id: u32) -> &[u8] {
        self.shared.bytes.get(id as usize).map_or(&[], |bytes| bytes)
    }

    /// Number of ids, special tokens included: ids are `0..vocab_size()`.
    pub fn vocab_size(&self) -> usize {
        self.shared.bytes.len()
    }

    /// Whether a network with `rows` rows in its table of the vocabulary knows every id. It may have more rows than
    /// there are ids (tables are padded), never fewer.
    pub fn fits(&self, rows: usize) -> bool {
        self.vocab_size() <= rows
    }

    /// The id that ends a document.
    pub fn end_of_text(&self) -> u32 {
        self.shared.roles.end_of_text
    }

    /// All ids at which writing ends, in ascending order: the end of a text, and the ends of a turn in a conversation.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.shared.roles.stops
    }

    /// The id that texts may begin with, if the model has one. Templates place it themselves.
    pub fn start(&self) -> Option<u32> {
        self.shared.roles.start
    }

    /// Whether a plain prompt begins with [`Tokenizer::start`].
    pub fn adds_start(&self) -> bool {
        self.shared.roles.adds_start
    }

    /// The id of a position without text, if the model has one.
    pub fn mask(&self) -> Option<u32> {
        self.shared.roles.mask
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

    /// The `tokenizer.json` itself, to be stored beside a model. One that came from a GGUF file was written here.
    pub fn json(&self) -> &[u8] {
        &self.shared.json
    }
}

/// Refuses added tokens whose id is not the one that the BPE gave them.
fn check_ids(bpe: &tokenizers::Tokenizer, declared: &Value) -> Result<(), TokenizerError> {
    for token in declared.as_array().into_iter().flatten() {
        let text = token["content"].as_str().unwrap_or_default();
        let given = bpe.token_to_id(text).map(u64::from);
        if given != token["id"].as_u64() {
            let reason = format!("the id of the added token {text:?} does not follow the ids before it");
            return Err(TokenizerError::Format(reason));
        }
    }
    Ok(())
}

/// The token that a post-processor puts before every text.
fn first_token(post_processor: &Value) -> Option<String> {
    if let Some(steps) = post_processor["processors"].as_array() {
        return steps.iter().find_map(first_token);
    }
    let name = post_processor["single"].get(0)?.pointer("/SpecialToken/id")?;
    name.as_str().map(str::to_owned)
}
