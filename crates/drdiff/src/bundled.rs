//! The model that is compiled in.

use drdiff_data::{TokenizerFiles, Words};

use crate::Result;

/// The files of a model in memory.
#[derive(Clone, Copy)]
pub(crate) struct Bundled {
    pub(crate) weights: &'static [u8],
    pub(crate) tokenizer: &'static [u8],
    tokenizer_config: &'static [u8],
    chat_template: &'static [u8],
}

#[cfg(has_bundled_model)]
pub(crate) const BUNDLED: Option<Bundled> = Some(Bundled {
    weights: include_bytes!("../../../models/drdiff-smol/model.gguf"),
    tokenizer: include_bytes!("../../../models/drdiff-smol/tokenizer.json"),
    tokenizer_config: include_bytes!("../../../models/drdiff-smol/tokenizer_config.json"),
    chat_template: include_bytes!("../../../models/drdiff-smol/chat_template.jinja"),
});
#[cfg(not(has_bundled_model))]
pub(crate) const BUNDLED: Option<Bundled> = None;

impl Bundled {
    pub(crate) fn words(&self) -> Result<Words> {
        let files = TokenizerFiles {
            tokenizer_json: self.tokenizer.to_vec(),
            tokenizer_config: Some(self.tokenizer_config.to_vec()),
            chat_template: Some(self.chat_template.to_vec()),
            ..TokenizerFiles::default()
        };
        Ok(Words::from_files(&files)?)
    }
}
