//! Choices in the form of a configuration file.

use drdiff_configs::Section;
use serde::{Deserialize, Serialize};

use super::{Choices, NetworkKind, Settings};

/// The choices of a configuration. In a file they have the form of [`Settings`], and what is not written there is not chosen, as far as the
/// reader tells by [`Configured::keep`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Settings", into = "Settings")]
pub struct Configured(pub Choices);

impl Configured {
    /// Forgets everything but what is written at the places for which `is_written` is true.
    pub fn keep(&mut self, is_written: impl Fn(&str) -> bool) {
        // An empty map switches it on.
        let reabsorbs = is_written("sampler.reabsorb");
        self.0
            .retain(|setting| is_written(setting.path) || reabsorbs && setting.name.starts_with("reabsorb"));
    }
}

impl From<Settings> for Configured {
    fn from(settings: Settings) -> Self {
        Self(Choices::all_of(&settings))
    }
}

/// What is shown of a configuration: with all that suits it.
impl From<Configured> for Settings {
    fn from(configured: Configured) -> Self {
        configured.0.resolve(NetworkKind::Masked).unwrap_or_default()
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
