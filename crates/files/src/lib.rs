//! How every file is opened: outputs are complete or absent, inputs are told from their content.
//!
//! `output` and `folder` hold the rules of writing, `lock` keeps two programs out of one folder, `text` holds the rules
//! of reading: `kind` tells what a file is, `layout` how its records lie, `lines` and `plain` cut and clean it. A leaf: it
//! knows neither tensors nor texts.

mod error;
mod kind;
mod layout;
mod lines;
mod plain;
pub mod text;

pub use error::Error;
pub use layout::Layout;
pub use lines::{Line, Lines};
pub use plain::{line_ends, plain, without_mark};

/// What can go wrong is an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
