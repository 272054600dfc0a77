//! How every file is opened: outputs are complete or absent, inputs are told from their content.
//!
//! `output`, `folder` and `small` hold the rules of writing, `lock` keeps two programs out of one folder, `text` holds the rules
//! of reading. A leaf: it knows neither tensors nor texts.

mod error;
mod folder;
mod lock;
mod output;
mod place;
mod small;
#[cfg(unix)]
mod standard;
mod temporary;

pub use error::Error;
pub use folder::NewFolder;
pub use lock::FolderLock;
pub use output::{Output, Writer, write};
pub use place::{apart, same};
pub use small::{begins_with, create_new, grow, make_folder, remove, rename, sync_folder};
pub use temporary::remove_temporaries;

/// What can go wrong is an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
