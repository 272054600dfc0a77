//! The words of a Hugging Face folder: `tokenizer.json` and what stands beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drdiff_files::without_mark;
use serde_json::{Map, Value, json};

use super::roles::Told;
use super::{Tokenizer, TokenizerError};

const CONFIG: &str = "tokenizer_config.json";
const GENERATION: &str = "generation_config.json";

/// The files of a model's folder that concern its tokenizer. Only `tokenizer_json` is needed; a file that is absent is
/// `None`, and what it would say is found by the names of the tokens.
#[derive(Debug, Clone, Default)]
pub struct TokenizerFiles {
    /// `tokenizer.json`.
    pub tokenizer_json: Vec<u8>,
    /// `tokenizer_config.json`: the tokens with a role, and often the chat template.
    pub tokenizer_config: Option<Vec<u8>>,
    /// `special_tokens_map.json`: the tokens with a role, in older folders.
    pub special_tokens_map: Option<Vec<u8>>,
    /// `generation_config.json`: the ids at which writing ends.
    pub generation_config: Option<Vec<u8>>,
    /// `config.json` of the network, which names ids too.
    pub config: Option<Vec<u8>>,
    /// `chat_template.jinja`, in newer folders.
    pub chat_template: Option<Vec<u8>>,
}

impl TokenizerFiles {
    /// Reads what a folder has.
    ///
    /// # Errors
    /// If there is no `tokenizer.json`, or a file that is there cannot be read.
    pub fn read(folder: &Path) -> Result<Self, TokenizerError> {
        let read = |name: &str| {
            let path: PathBuf = folder.join(name);
            std::fs::read(&path).map_err(|source| TokenizerError::Read { path, source })
        };
        let beside = |name: &str| match read(name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(TokenizerError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        Ok(Self {
            tokenizer_json: read("tokenizer.json")?,
            tokenizer_config: beside(CONFIG)?,
            special_tokens_map: beside("special_tokens_map.json")?,
            generation_config: beside(GENERATION)?,
            config: beside("config.json")?,
            chat_template: beside("chat_template.jinja")?,
        })
    }

    /// The source of the chat template: `chat_template.jinja`, else `chat_template` of `tokenizer_config.json`, which is
    /// one template or a list of named ones, of which `default` is taken.
    pub(super) fn template(&self) -> Result<Option<String>, TokenizerError> {
        if let Some(bytes) = &self.chat_template {
            let text = String::from_utf8(bytes.clone()).map_err(|e| TokenizerError::Beside {
                file: "chat_template.jinja",
                reason: e.to_string(),
            })?;
            return Ok(Some(text));
        }
        let config = parsed(CONFIG, self.tokenizer_config.as_deref())?;
        let text = |template: &Value| template.as_str().map(str::to_owned);
        Ok(match &config["chat_template"] {
            Value::Array(named) => named
                .iter()
                .find(|one| one["name"] == "default")
                .or(named.first())
                .and_then(|one| text(&one["template"])),
            one => text(one),
        })
    }

    fn told(&self, id_of: &dyn Fn(&str) -> Option<u32>) -> Result<Told, TokenizerError> {
        let config = parsed(CONFIG, self.tokenizer_config.as_deref())?;
        let map = parsed("special_tokens_map.json", self.special_tokens_map.as_deref())?;
        let generation = parsed(GENERATION, self.generation_config.as_deref())?;
        let network = parsed("config.json", self.config.as_deref())?;
        let name = |key: &str| text(&config[key]).or_else(|| text(&map[key]));
        let id = |key: &str| ids(&network[key]).chain(ids(&generation[key])).next();
        let named = |key: &str| name(key).and_then(|name| id_of(&name));

        let keys = [
            "bos_token",
            "eos_token",
            "unk_token",
            "sep_token",
            "pad_token",
            "cls_token",
            "mask_token",
        ];
        let names: BTreeMap<String, String> = keys
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), name(key)?)))
            .collect();
        let ends = named("eos_token")
            .into_iter()
            .chain(ids(&generation["eos_token_id"]))
            .chain(ids(&network["eos_token_id"]))
            .collect();
        let start = if self.tokenizer_config.is_some() || self.special_tokens_map.is_some() {
            Some(named("bos_token"))
        } else {
            id("bos_token_id").map(Some)
        };
        Ok(Told {
            ends,
            start,
            adds_start: config["add_bos_token"].as_bool(),
            mask: id("mask_token_id").or_else(|| named("mask_token")),
            names,
        })
    }
}

impl Tokenizer {
    /// Builds from the files of a Hugging Face folder.
    ///
    /// Ends of text and turn are all that `eos_token`, `eos_token_id` and the names of the tokens say together; the
    /// mask is `mask_token_id` of the network's configuration, else `mask_token`, else a token with a usual name.
    ///
    /// # Errors
    /// As [`Tokenizer::from_bytes`], and for a file beside it that is not JSON.
    pub fn from_files(files: &TokenizerFiles) -> Result<Self, TokenizerError> {
        Self::build(without_mark(&files.tokenizer_json), |id_of| files.told(id_of))
    }

    /// The files that give this tokenizer back, to be stored beside a model's weights; without `config.json` and the
    /// chat template.
    pub fn files(&self) -> TokenizerFiles {
        let roles = &self.shared.roles;
        let mut config: Map<String, Value> = roles
            .names
            .iter()
            .map(|(role, token)| (role.clone(), json!(token)))
            .collect();
        let ends = [("bos_token", roles.start), ("eos_token", Some(roles.end_of_text))];
        for (role, id) in ends {
            let token = id.and_then(|id| self.shared.bpe.id_to_token(id));
            if let (Some(token), None) = (token, config.get(role)) {
                config.insert(role.to_owned(), json!(token));
            }
        }
        config.insert("add_bos_token".to_owned(), json!(roles.adds_start));
        let generation = json!({ "eos_token_id": roles.stops, "mask_token_id": roles.mask });
        TokenizerFiles {
            tokenizer_json: self.json().to_vec(),
            tokenizer_config: Some(Value::Object(config).to_string().into()),
            generation_config: Some(generation.to_string().into()),
            ..TokenizerFiles::default()
        }
    }
}

fn parsed(file: &'static str, bytes: Option<&[u8]>) -> Result<Value, TokenizerError> {
    let Some(bytes) = bytes else {
        return Ok(Value::Null);
    };
    serde_json::from_slice(without_mark(bytes)).map_err(|e| TokenizerError::Beside {
        file,
        reason: e.to_string(),
    })
}

/// A token that is written as its text or as an object with its text.
fn text(token: &Value) -> Option<String> {
    token.as_str().or_else(|| token["content"].as_str()).map(str::to_owned)
}

/// One id, or a list of ids.
fn ids(value: &Value) -> impl Iterator<Item = u32> {
    let all = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    all.iter()
        .filter_map(Value::as_u64)
        .filter_map(|id| u32::try_from(id).ok())
}
