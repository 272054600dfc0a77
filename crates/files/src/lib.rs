//! How every file is opened: outputs are complete or absent, inputs are told from their content.
//!
//! `output` and `folder` hold the rules of writing, `lock` keeps two programs out of one folder, `text` holds the rules
//! of reading. A leaf: it knows neither tensors nor texts.

mod error;

pub use error::Error;

/// What can go wrong is an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
