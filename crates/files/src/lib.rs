//! How every file is opened: outputs are complete or absent, inputs are told from their content.
//!
//! `output` and `folder` hold the rules of writing, `lock` keeps two programs out of one folder, `text` holds the rules
//! of reading, `ending` what becomes of files when the program is ended in the middle of its work. A leaf: it knows neither tensors nor texts.

mod ending;
mod error;

pub use ending::{Unfinished, Whole, end, end_at_once, whole};
pub use error::Error;

/// What can go wrong is an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
