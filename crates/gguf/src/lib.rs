//! GGUF, the file format of llama.cpp, read without trusting any number in it.

mod bytes;
mod format;
mod header;
mod metadata;

pub use header::GgufHeader;
pub use metadata::{GgufList, GgufValue};
