//! What can be wrong with a tokenizer, and with a chat template.

use std::path::PathBuf;

/// What can be wrong with a tokenizer file or a chat template.
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
    /// A file with weights and words is not what it should be.
    #[error("{path} is not a usable language model: {reason}; fetch it again or name another file", path = .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The bytes are not a `tokenizer.json`.
    #[error("the tokenizer is not a valid tokenizer.json: {0}; train it again or restore the file")]
    Format(String),
    /// The tokenizer would change the text that it encodes.
    #[error("the tokenizer is not a lossless byte-level BPE: {0}; use a tokenizer that `drdiff data prepare` trained")]
    Lossy(String),
    /// A kind of tokenizer that other programs read and this one does not.
    #[error(
        "the tokenizer is of a kind that is not supported: {0}; use a model with a byte-level BPE, as those of Llama 3, Qwen and SmolLM are"
    )]
    Unsupported(String),
    /// No token ends a document.
    #[error(
        "the tokenizer has no special token {end} or another that ends a text; use a tokenizer that `drdiff data prepare` trained",
        end = super::END_OF_TEXT
    )]
    NoEndOfText,
    /// A file beside the `tokenizer.json` is not what it should be.
    #[error("{file} beside the tokenizer cannot be used: {reason}; fetch the model's folder again")]
    Beside {
        /// The name of the file.
        file: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Encoding failed inside the BPE.
    #[error("the text cannot be encoded: {0}")]
    Encode(String),
    /// The model has no chat template.
    #[error("the model has no chat template, so it cannot hold a conversation; give it a plain prompt instead")]
    NoTemplate,
    /// The chat template is wrong, or refuses the conversation.
    #[error("the chat template {0}; give the model a plain prompt instead")]
    Template(String),
}
