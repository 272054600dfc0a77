//! A tokenizer with the chat template of its model, wherever both are kept.

use std::path::Path;

use drdiff_gguf::GgufHeader;
use drdiff_kernels::MappedFile;

use crate::{ChatTemplate, Tokenizer, TokenizerError, TokenizerFiles};

type Result<T, E = TokenizerError> = std::result::Result<T, E>;

/// The name of a tokenizer's file.
const TOKENIZER: &str = "tokenizer.json";

/// A tokenizer and, if its model holds conversations, how they are written.
#[derive(Debug, Clone)]
pub struct Words {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The chat template.
    pub template: Option<ChatTemplate>,
}

impl Words {
    /// Names of the files that [`Words::beside`] gives.
    pub const BESIDE: [&str; 2] = ["tokenizer_config.json", "chat_template.jinja"];

    /// Reads a folder, a GGUF file with a vocabulary, or a `tokenizer.json` with what lies beside it.
    ///
    /// # Errors
    /// If there is no tokenizer, or one that cannot be used, or the template is none.
    pub fn read(path: &Path) -> Result<Self> {
        let is_named = path.file_name().is_some_and(|name| name == TOKENIZER);
        let folder = match path.parent() {
            Some(parent) if is_named && path.is_file() => Some(parent),
            _ => Some(path).filter(|path| path.is_dir()),
        };
        if let Some(folder) = folder {
            let folder = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            return Self::from_files(&TokenizerFiles::read(folder)?);
        }
        let file = MappedFile::open(path).ok().filter(|file| file.starts_with(b"GGUF"));
        let Some(file) = file else {
            return Ok(Tokenizer::from_file(path)?.into());
        };
        let header = GgufHeader::read(&file).map_err(|reason| TokenizerError::Corrupt {
            path: path.to_owned(),
            reason,
        })?;
        let tokenizer = Tokenizer::from_gguf(&header)?;
        let template = ChatTemplate::from_gguf(&header, &tokenizer);
        Self::with(tokenizer, template)
    }

    /// The same of files that are read already.
    ///
    /// # Errors
    /// As [`Words::read`].
    pub fn from_files(files: &TokenizerFiles) -> Result<Self> {
        let tokenizer = Tokenizer::from_files(files)?;
        let template = ChatTemplate::from_files(files, &tokenizer);
        Self::with(tokenizer, template)
    }

    fn with(tokenizer: Tokenizer, template: Result<ChatTemplate, TokenizerError>) -> Result<Self> {
        let template = match template {
            Ok(template) => Some(template),
            Err(TokenizerError::NoTemplate) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { tokenizer, template })
    }

    /// The files beside `tokenizer.json` that [`Words::read`] needs to give these words back; none without a template.
    #[must_use]
    pub fn beside(&self) -> Vec<(&'static str, Vec<u8>)> {
        let Some(template) = &self.template else {
            return Vec::new();
        };
        let [config, source] = Self::BESIDE;
        let roles = self.tokenizer.files().tokenizer_config.unwrap_or_default();
        vec![(config, roles), (source, template.source().as_bytes().to_vec())]
    }
}

impl From<Tokenizer> for Words {
    fn from(tokenizer: Tokenizer) -> Self {
        let template = None;
        Self { tokenizer, template }
    }
}
