//! How every file is opened: outputs are complete or absent, inputs are told from their content.
//!
//! `output`, `folder` and `small` hold the rules of writing, `lock` keeps two programs out of one folder, `ending` says what becomes
//! of files when the program is ended in the middle of its work. `text` holds the rules of reading: `kind` tells what a file is,
//! `layout` how its records lie, `lines` and `plain` cut and clean it. A leaf: it knows neither tensors nor texts.

mod ending;
mod error;
mod folder;
mod kind;
mod layout;
mod lines;
mod lock;
mod output;
mod place;
mod plain;
mod small;
#[cfg(unix)]
mod standard;
mod temporary;
pub mod text;

pub use ending::{Unfinished, Whole, end, end_at_once, whole};
pub use error::Error;
pub use folder::NewFolder;
pub use layout::Layout;
pub use lines::{Line, Lines};
pub use lock::FolderLock;
pub use output::{Output, Writer, write};
pub use place::{apart, same};
pub use plain::{line_ends, plain, without_mark};
pub use small::{begins_with, create_new, grow, make_folder, remove, rename, sync_folder};

/// What can go wrong is an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
