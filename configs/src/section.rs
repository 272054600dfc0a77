//! What a type needs to be configured; each crate says it of its own.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type that can be configured.
pub trait Section: Serialize + DeserializeOwned {
    /// Folder of its presets, and the middle of its environment variables (`DRDIFF_<NAME>__…`).
    const NAME: &'static str;
    /// The preset below everything else when none is named.
    const BASE: Option<&'static str>;

    /// Learns which places somebody wrote to, where values that nobody chose follow the others.
    fn written(&mut self, _is_written: &dyn Fn(&str) -> bool) {}

    /// Checks values that are well-typed but make no sense; the message says which.
    ///
    /// # Errors
    /// The first problem, in words.
    fn check(&self) -> std::result::Result<(), String>;
}
