//! The words of a GGUF file: its vocabulary becomes a `tokenizer.json`.

use std::collections::{BTreeMap, HashMap};

use candle_core::quantized::gguf_file::Value as Entry;
use drdiff_gguf::GgufHeader;
use serde_json::{Map, Value, json};

use super::roles::{ENDS_OF_TEXT, ENDS_OF_TURN, Told};
use super::spelling::SPACE;
use super::units::{Units, named};
use super::{Tokenizer, TokenizerError};

/// What is read of a GGUF file's metadata; a value of another type counts as absent.
pub trait GgufMetadata {
    /// A text.
    fn text(&self, key: &str) -> Option<&str>;
    /// A list of texts.
    fn texts(&self, key: &str) -> Option<Vec<&str>>;
    /// A whole number of any width.
    fn number(&self, key: &str) -> Option<i64>;
    /// A list of numbers of any kind.
    fn numbers(&self, key: &str) -> Option<Vec<f64>>;
    /// Yes or no.
    fn flag(&self, key: &str) -> Option<bool>;
}

impl GgufMetadata for HashMap<String, Entry> {
    fn text(&self, key: &str) -> Option<&str> {
        as_text(self.get(key)?)
    }

    fn texts(&self, key: &str) -> Option<Vec<&str>> {
        self.get(key)?.to_vec().ok()?.iter().map(as_text).collect()
    }

    fn number(&self, key: &str) -> Option<i64> {
        as_number(self.get(key)?).map(|number| number as i64)
    }

    fn numbers(&self, key: &str) -> Option<Vec<f64>> {
        self.get(key)?.to_vec().ok()?.iter().map(as_number).collect()
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.to_bool().ok()
    }
}

impl GgufMetadata for GgufHeader<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    fn texts(&self, key: &str) -> Option<Vec<&str>> {
        self.get(key)?.as_list()?.iter().map(|value| value.as_text()).collect()
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.get(key)?.as_u64()?.try_into().ok()
    }

    fn numbers(&self, key: &str) -> Option<Vec<f64>> {
        self.get(key)?.as_list()?.iter().map(|value| value.as_f64()).collect()
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }
}

fn as_text(entry: &Entry) -> Option<&str> {
    entry.to_string().ok().map(String::as_str)
}

fn as_number(entry: &Entry) -> Option<f64> {
    Some(match *entry {
        Entry::U8(n) => n.into(),
        Entry::I8(n) => n.into(),
        Entry::U16(n) => n.into(),
        Entry::I16(n) => n.into(),
        Entry::U32(n) => n.into(),
        Entry::I32(n) => n.into(),
        Entry::U64(n) => n as f64,
        Entry::I64(n) => n as f64,
        Entry::F32(n) => n.into(),
        Entry::F64(n) => n,
        Entry::Bool(_) | Entry::String(_) | Entry::Array(_) => return None,
    })
}

/// Kinds of entries, as `tokenizer.ggml.token_type` numbers them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    Added,
    Unused,
    Byte,
}

impl Kind {
    fn of(number: f64) -> Self {
        match number as i64 {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::Added,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => Self::Normal,
        }
    }

    /// The kind of an entry in a file that does not number kinds.
    fn named(token: &str) -> Self {
        match ENDS_OF_TEXT.contains(&token) || ENDS_OF_TURN.contains(&token) {
            true => Self::Control,
            false => Self::Normal,
        }
    }
}

/// The vocabulary of a file: the entries that are used, by id.
struct Entries<'a> {
    tokens: Vec<&'a str>,
    kinds: Vec<Kind>,
}

impl<'a> Entries<'a> {
    fn read(metadata: &'a impl GgufMetadata) -> Result<Self, TokenizerError> {
        let tokens = metadata
            .texts("tokenizer.ggml.tokens")
            .ok_or_else(|| absent("tokenizer.ggml.tokens"))?;
        let kinds: Vec<Kind> = match metadata.numbers("tokenizer.ggml.token_type") {
            Some(numbers) => numbers.into_iter().map(Kind::of).collect(),
            // As in llama.cpp: what is named like a special token is one.
            None => tokens.iter().map(|token| Kind::named(token)).collect(),
        };
        if kinds.len() != tokens.len() {
            return Err(TokenizerError::Format(
                "its tokens and their types are not equally many".into(),
            ));
        }
        Ok(Self { tokens, kinds })
    }

    fn used(&self) -> impl Iterator<Item = (u32, &'a str, Kind)> {
        let entries = self.tokens.iter().zip(&self.kinds).zip(0..);
        entries
            .map(|((token, kind), id)| (id, *token, *kind))
            .filter(|(_, token, kind)| *kind != Kind::Unused && !token.is_empty())
    }

    fn vocab(&self) -> Map<String, Value> {
        self.used()
            .map(|(id, token, _)| (token.to_owned(), json!(id)))
            .collect()
    }

    /// Control tokens are special, added ones are found in plain text.
    fn added(&self) -> Vec<Value> {
        let added = self.used().filter_map(|(id, token, kind)| {
            let special = match kind {
                Kind::Control | Kind::Unknown => true,
                Kind::Added => false,
                Kind::Normal | Kind::Unused | Kind::Byte => return None,
            };
            Some(json!({
                "id": id, "content": token, "special": special, "normalized": false,
                "single_word": false, "lstrip": false, "rstrip": false,
            }))
        });
        added.collect()
    }
}

fn absent(key: &str) -> TokenizerError {
    TokenizerError::Format(format!("the GGUF file has no `{key}`"))
}

impl Tokenizer {
    /// Builds from the metadata of a GGUF file: byte-level BPE vocabularies (`tokenizer.ggml.model` is `gpt2`) whose
    /// pre-tokenizer is known, and SentencePiece vocabularies (`llama`) that put no space before a text, as Gemma's.
    ///
    /// # Errors
    /// A vocabulary or pre-tokenizer of another kind, which is named, and as [`Tokenizer::from_bytes`].
    pub fn from_gguf(metadata: &impl GgufMetadata) -> Result<Self, TokenizerError> {
        let model = metadata
            .text("tokenizer.ggml.model")
            .ok_or_else(|| absent("tokenizer.ggml.model"))?;
        let entries = Entries::read(metadata)?;
        let (file, adds_start) = match model {
            "gpt2" => byte_level(metadata, &entries)?,
            "llama" => (pieces(metadata, &entries)?, true),
            other => {
                return Err(TokenizerError::Unsupported(format!(
                    "its vocabulary is of the kind `{other}`"
                )));
            }
        };
        let json = file.to_string();
        Self::build(json.as_bytes(), |_| Ok(told(metadata, &entries, adds_start)))
    }
}

/// A `tokenizer.json` with a byte-level vocabulary, and whether plain prompts usually begin with the start token.
fn byte_level(metadata: &impl GgufMetadata, entries: &Entries<'_>) -> Result<(Value, bool), TokenizerError> {
    let pre = metadata
        .text("tokenizer.ggml.pre")
        .ok_or_else(|| absent("tokenizer.ggml.pre"))?;
    let known =
        named(pre).ok_or_else(|| TokenizerError::Unsupported(format!("its pre-tokenizer `{pre}` is not known")))?;
    let merges = metadata
        .texts("tokenizer.ggml.merges")
        .ok_or_else(|| absent("tokenizer.ggml.merges"))?;
    let byte_level = |use_regex: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": use_regex });
    let sequence = |first: Value, then: Value| json!({ "type": "Sequence", "pretokenizers": [first, then] });
    let pre_tokenizer = match known.units {
        Units::Gpt2 => byte_level(true),
        Units::DigitsThenGpt2 => sequence(json!({ "type": "Digits", "individual_digits": true }), byte_level(true)),
        Units::Pattern(pattern) => sequence(
            json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false }),
            byte_level(false),
        ),
    };
    let file = json!({
        "version": "1.0",
        "added_tokens": entries.added(),
        "normalizer": if known.nfc { json!({ "type": "NFC" }) } else { Value::Null },
        "pre_tokenizer": pre_tokenizer,
        "decoder": byte_level(true),
        "model": {
            "type": "BPE", "ignore_merges": known.ignore_merges,
            "vocab": entries.vocab(), "merges": merges,
        },
    });
    Ok((file, known.adds_start))
}

/// A `tokenizer.json` with a SentencePiece vocabulary: pairs merge in the order of the scores of what they make.
fn pieces(metadata: &impl GgufMetadata, entries: &Entries<'_>) -> Result<Value, TokenizerError> {
    if metadata.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true) {
        let reason = "its SentencePiece vocabulary puts a space before every text";
        return Err(TokenizerError::Unsupported(reason.into()));
    }
    let scores = metadata
        .numbers("tokenizer.ggml.scores")
        .filter(|scores| scores.len() == entries.tokens.len())
        .ok_or_else(|| absent("tokenizer.ggml.scores"))?;
    let vocab = entries.vocab();
    let mut merges: Vec<(f64, &str, &str)> = Vec::new();
    for (id, token, _) in entries.used().filter(|(_, _, kind)| *kind == Kind::Normal) {
        let halves = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let mut ways: Vec<_> = halves
            .filter(|(left, right)| vocab.contains_key(*left) && vocab.contains_key(*right))
            .collect();
        ways.sort_by_key(|(left, right)| (vocab[*left].as_u64(), vocab[*right].as_u64()));
        merges.extend(ways.into_iter().map(|(left, right)| (scores[id as usize], left, right)));
    }
    let length = |text: &str| text.chars().count();
    merges.sort_by(|a, b| {
        let by_score = b.0.total_cmp(&a.0);
        by_score.then_with(|| (length(b.1), length(b.2)).cmp(&(length(a.1), length(a.2))))
    });
    let merges: Vec<[&str; 2]> = merges.into_iter().map(|(_, left, right)| [left, right]).collect();
    let unknown = entries
        .used()
        .find(|(.., kind)| *kind == Kind::Unknown)
        .map(|(_, token, _)| token);
    let space = String::from(SPACE);
    Ok(json!({
        "version": "1.0",
        "added_tokens": entries.added(),
        "normalizer": { "type": "Replace", "pattern": { "String": " " }, "content": space },
        "pre_tokenizer": Value::Null,
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": space }, "content": " " },
            { "type": "ByteFallback" }, { "type": "Fuse" },
        ]},
        "model": {
            "type": "BPE", "byte_fallback": true, "fuse_unk": true, "unk_token": unknown,
            "vocab": vocab, "merges": merges,
        },
    }))
}

fn told(metadata: &impl GgufMetadata, entries: &Entries<'_>, adds_start: bool) -> Told {
    let id = |role: &str| {
        let id = metadata.number(&format!("tokenizer.ggml.{role}_token_id"))?;
        u32::try_from(id).ok()
    };
    let roles = [
        ("bos", "bos"),
        ("eos", "eos"),
        ("unknown", "unk"),
        ("padding", "pad"),
        ("mask", "mask"),
    ];
    let name = |role: &str| id(role).and_then(|id| entries.tokens.get(id as usize));
    let names: BTreeMap<String, String> = roles
        .iter()
        .filter_map(|(role, short)| Some((format!("{short}_token"), (*name(role)?).to_owned())))
        .collect();
    Told {
        ends: ["eos", "eot", "eom"].iter().filter_map(|role| id(role)).collect(),
        start: Some(id("bos")),
        adds_start: Some(metadata.flag("tokenizer.ggml.add_bos_token").unwrap_or(adds_start)),
        mask: id("mask"),
        names,
    }
}
