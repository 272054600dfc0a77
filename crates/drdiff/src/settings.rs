//! How text is written.

use drdiff_generation::{Choices, NetworkKind};
use serde_json::Value;

use crate::{Error, Result};

/// How text is written. What is not chosen follows from what is, and from the model: the default writes what `drdiff generate`
/// writes without flags.
///
/// The names of all settings, with their ranges and defaults, are in `docs/reference/settings.md`.
///
/// ```
/// # fn main() -> drdiff::Result<()> {
/// let settings = drdiff::Settings::default().tokens(200).temperature(0.7).seed(3);
/// let settings = settings.set("stop", ["\n\n"])?;
/// # drop(settings);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings(Choices);

impl Settings {
    /// Most tokens of a text. Default: 400.
    #[must_use]
    pub fn tokens(self, tokens: usize) -> Self {
        self.with("tokens", tokens)
    }

    /// Positions that are denoised together. Default: what the model was made for.
    #[must_use]
    pub fn block_size(self, positions: usize) -> Self {
        self.with("block_size", positions)
    }

    /// Network passes for a block. Default: what suits the block size.
    #[must_use]
    pub fn steps(self, steps: usize) -> Self {
        self.with("steps", steps)
    }

    /// How boldly tokens are drawn; 0 takes the likeliest. Default: what suits the block size.
    #[must_use]
    pub fn temperature(self, temperature: f64) -> Self {
        self.with("temperature", temperature)
    }

    /// Decides all noise. Default: 0.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.with("seed", seed)
    }

    /// Any setting by its name.
    ///
    /// # Errors
    /// [`Error::Input`] if there is no such setting, or the value is not one of its own.
    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Result<Self> {
        self.0.choose(name, value).map_err(Error::Input)?;
        Ok(self)
    }

    fn with(self, name: &str, value: impl Into<Value>) -> Self {
        Self(self.0.with(name, value))
    }

    /// What is chosen, and for the rest what suits it and a model of this kind.
    ///
    /// # Errors
    /// If values contradict each other.
    pub(crate) fn resolve(&self, kind: NetworkKind) -> Result<drdiff_generation::Settings> {
        Ok(self.0.resolve(kind)?)
    }
}

impl From<Choices> for Settings {
    fn from(choices: Choices) -> Self {
        Self(choices)
    }
}
