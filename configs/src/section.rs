//! The kinds of configuration, each owned by the crate that uses it.

use drdiff_evaluation::sweep::SweepConfig;
use drdiff_generation::Settings;
use drdiff_model::ModelConfig;
use drdiff_training::TrainConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type that can be configured.
pub trait Section: Serialize + DeserializeOwned {
    /// Folder of its presets, and the middle of its environment variables (`DRDIFF_<NAME>__…`).
    const NAME: &'static str;
    /// The preset below everything else when none is named.
    const BASE: Option<&'static str>;

    /// Checks values that are well-typed but make no sense; the message says which.
    ///
    /// # Errors
    /// The first problem, in words.
    fn check(&self) -> std::result::Result<(), String>;
}

impl Section for TrainConfig {
    const NAME: &'static str = "train";
    const BASE: Option<&'static str> = None;

    fn check(&self) -> std::result::Result<(), String> {
        self.validate().map_err(|e| e.to_string())
    }
}

/// No presets: a model's configuration comes with its weights, and few values of it can be changed.
impl Section for ModelConfig {
    const NAME: &'static str = "model";
    const BASE: Option<&'static str> = None;

    fn check(&self) -> std::result::Result<(), String> {
        self.validate().map_err(|e| e.to_string())
    }
}

impl Section for Settings {
    const NAME: &'static str = "generate";
    const BASE: Option<&'static str> = Some("default");

    fn check(&self) -> std::result::Result<(), String> {
        self.sampler.validate().map_err(|e| e.to_string())
    }
}

impl Section for SweepConfig {
    const NAME: &'static str = "sweep";
    const BASE: Option<&'static str> = None;

    fn check(&self) -> std::result::Result<(), String> {
        self.plan().map(drop).map_err(|e| e.to_string())
    }
}
