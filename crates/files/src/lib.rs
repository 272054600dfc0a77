//! How every file is opened: outputs are complete or absent, inputs are told from their content.
//!
//! `output`, `folder` and `small` hold the rules of writing, `lock` keeps two programs out of one folder, `text` holds the rules
//! of reading, `ending` what becomes of files when the program is ended in the middle of its work. A leaf: it knows neither
//! tensors nor texts.

mod ending;
mod error;
mod folder;
mod lock;
mod output;
mod place;
mod small;
#[cfg(unix)]
mod standard;
mod temporary;

pub use ending::{Unfinished, Whole, end, end_at_once, whole};
pub use error::Error;
pub use folder::NewFolder;
pub use lock::FolderLock;
pub use output::{Output, Writer, write};
pub use place::{apart, same};
pub use small::{begins_with, create_new, grow, make_folder, remove, rename, sync_folder};

/// What can go wrong is an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
