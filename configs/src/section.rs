//! The kinds of configuration, each owned by the crate that uses it.

use drdiff_generation::NetworkKind;
use drdiff_generation::settings::Configured;
use drdiff_jobs::sweep::SweepConfig;
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

    /// Learns which places somebody wrote to, where values that nobody chose follow the others.
    fn written(&mut self, _is_written: &dyn Fn(&str) -> bool) {}

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

impl Section for Configured {
    const NAME: &'static str = "generate";
    const BASE: Option<&'static str> = Some("default");

    fn written(&mut self, is_written: &dyn Fn(&str) -> bool) {
        self.keep(is_written);
    }

    fn check(&self) -> std::result::Result<(), String> {
        let settings = self.0.resolve(NetworkKind::Masked).map_err(|e| e.to_string())?;
        settings.sampler.validate().map_err(|e| e.to_string())
    }
}

impl Section for SweepConfig {
    const NAME: &'static str = "sweep";
    const BASE: Option<&'static str> = None;

    fn written(&mut self, is_written: &dyn Fn(&str) -> bool) {
        self.settings.keep(|place| is_written(&format!("settings.{place}")));
    }

    fn check(&self) -> std::result::Result<(), String> {
        self.plan(NetworkKind::default()).map(drop).map_err(|e| e.to_string())
    }
}
