//! The presets that the program carries.

use crate::nearest;

use crate::error::{Error, Result};

/// An embedded YAML document.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// The kind of configuration: `train`, `generate` or `sweep`.
    pub section: &'static str,
    /// The name after `--config`.
    pub name: &'static str,
    /// The document, with its header comment.
    pub text: &'static str,
}

macro_rules! embedded {
    ($($section:literal / $name:literal),+ $(,)?) => {
        &[$(Preset {
            section: $section,
            name: $name,
            text: include_str!(concat!("../presets/", $section, "/", $name, ".yaml")),
        }),+]
    };
}

const PRESETS: &[Preset] = embedded![
    "train" / "tiny",
    "train" / "small",
    "train" / "adapt",
    "train" / "distill",
    "train" / "passkey",
    "train" / "routed",
    "generate" / "default",
    "sweep" / "quick",
    "sweep" / "frontier",
    "sweep" / "ideas",
    "sweep" / "steps",
    "sweep" / "blocks",
    "sweep" / "compute",
];

impl Preset {
    /// The header comment: command, time and expected figures.
    pub fn header(&self) -> impl Iterator<Item = &'static str> {
        self.text
            .lines()
            .map_while(|line| line.strip_prefix('#'))
            .map(str::trim)
    }
}

/// All presets of one kind of configuration.
pub fn presets(section: &str) -> impl Iterator<Item = &'static Preset> {
    PRESETS.iter().filter(move |preset| preset.section == section)
}

/// The preset `name` of a kind of configuration.
///
/// # Errors
/// [`Error::UnknownPreset`] with the names there are.
pub fn preset(section: &'static str, name: &str) -> Result<&'static Preset> {
    presets(section).find(|preset| preset.name == name).ok_or_else(|| {
        let names: Vec<&str> = presets(section).map(|preset| preset.name).collect();
        let nearest = nearest(name, names.iter().copied());
        Error::UnknownPreset {
            section,
            name: name.to_owned(),
            nearest: nearest.map_or_else(String::new, |nearest| format!(" (did you mean `{nearest}`?)")),
            known: names.join(", "),
        }
    })
}
