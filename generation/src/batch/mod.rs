//! Jobs over many requests: files that survive being killed, and what reads and writes them.

mod error;
mod journal;
mod lock;

pub use error::BatchError;
pub use journal::Journal;
pub use lock::FolderLock;
