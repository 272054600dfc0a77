//! Language models of others as files: a GGUF file of llama.cpp, or a folder as Hugging Face keeps models.

use std::path::Path;

use drdiff_data::{Tokenizer, TokenizerError, TokenizerFiles};
use drdiff_files::without_mark;
use drdiff_gguf::GgufHeader;
use drdiff_kernels::MappedFile;

use crate::gguf::METADATA_KEY;
use crate::{Error, Imported, Precision, Result, import_folder, import_gguf};

/// Describes the network of a folder of Hugging Face.
const CONFIG: &str = "config.json";

/// A language model of others with its words.
pub struct Pretrained {
    /// Shape and weights.
    pub network: Imported,
    /// Its tokenizer, which may know fewer ids than the network has rows.
    pub tokenizer: Tokenizer,
}

impl Pretrained {
    /// Whether `path` is a language model of others, by its head alone: a GGUF file that this program has not written, or a
    /// folder whose `config.json` names a `model_type`.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        if path.is_dir() {
            let config = std::fs::read(path.join(CONFIG)).unwrap_or_default();
            let config: serde_json::Value = serde_json::from_slice(without_mark(&config)).unwrap_or_default();
            return config["model_type"].is_string();
        }
        let Ok(file) = MappedFile::open(path) else { return false };
        file.starts_with(b"GGUF") && GgufHeader::read(&file).is_ok_and(|header| header.get(METADATA_KEY).is_none())
    }

    /// Reads network and tokenizer, weights as they are stored, for writing.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with what is missing, damaged, or not followed by this program, and for models that can only score texts.
    pub fn read(path: &Path) -> Result<Self> {
        let read = Self::read_as(path, Precision::Stored)?;
        match read.network.config.form.local {
            None => Ok(read),
            Some(_) => Err(unusable(
                path,
                "some of its layers see the last positions alone, so it scores texts (--judge) and does not write"
                    .to_owned(),
            )),
        }
    }

    /// [`Pretrained::read`] with weights as these numbers, also of models that can only score texts.
    ///
    /// # Errors
    /// As there, but for those.
    pub fn read_as(path: &Path, precision: Precision) -> Result<Self> {
        let wrong = |reason: String| unusable(path, reason);
        let told = |error: TokenizerError| wrong(error.to_string());
        let read = if path.is_dir() {
            let files = TokenizerFiles::read(path).map_err(told)?;
            Self {
                network: import_folder(path, precision).map_err(wrong)?,
                tokenizer: Tokenizer::from_files(&files).map_err(told)?,
            }
        } else {
            let file = map(path)?;
            let header = GgufHeader::read(&file).map_err(wrong)?;
            Self {
                network: import_gguf(&header, path, precision).map_err(wrong)?,
                tokenizer: Tokenizer::from_gguf(&header).map_err(told)?,
            }
        };
        let rows = read.network.config.vocab;
        if !read.tokenizer.fits(rows) {
            let ids = read.tokenizer.vocab_size();
            return Err(wrong(format!("its tokenizer has {ids} ids and its network {rows}")));
        }
        Ok(read)
    }
}

fn map(path: &Path) -> Result<MappedFile> {
    MappedFile::open(path).map_err(|source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    })
}

fn unusable(path: &Path, reason: String) -> Error {
    Error::Corrupt {
        path: path.to_owned(),
        expected: "language model",
        reason,
    }
}
