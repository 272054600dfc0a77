//! The page of presets and keys, from the presets that the program carries.

use anyhow::Result;
use drdiff_configs::{Inputs, Section, presets};
use drdiff_generation::settings::Configured;
use drdiff_jobs::sweep::SweepConfig;
use drdiff_training::TrainConfig;

use super::cell;

const INTRODUCTION: &str = "# Configuration\n\n\
    This page is made by `drdiff config reference configuration`; a test keeps it current.\n\n\
    A later source overrides an earlier one: the preset, YAML files, variables of the environment \
    (`DRDIFF_TRAIN__OPTIMIZER__LEARNING_RATE=1e-3`), and `--set KEY=VALUE`. `drdiff config show NAME --origin` prints every value and its source. \
    An unknown key is an error. A value `!only {…}` replaces a map; without the tag, maps are merged.\n";

/// The page in Markdown.
///
/// # Errors
/// A preset that does not resolve.
pub(super) fn page() -> Result<String> {
    let mut text = INTRODUCTION.to_owned();
    section::<Configured>("default", &mut text)?;
    section::<TrainConfig>("tiny", &mut text)?;
    section::<SweepConfig>("quick", &mut text)?;
    Ok(text)
}

/// Presets of a section, and all keys with the values of one of them.
fn section<T: Section>(shown: &str, text: &mut String) -> Result<()> {
    *text += &format!("\n## {}\n\n| preset | command | time |\n| --- | --- | --- |\n", T::NAME);
    for preset in presets(T::NAME) {
        let line = |name: &str| {
            let line = preset.header().find_map(|line| line.strip_prefix(name));
            cell(line.unwrap_or_default())
        };
        *text += &format!("| `{}` | `{}` | {} |\n", preset.name, line("Command:"), line("Time:"));
    }
    let mut inputs = Inputs::default();
    inputs.config(shown);
    let values = inputs.resolve::<T>()?.show(false)?;
    *text += &format!(
        "\nAll keys, with the values of `{shown}`:\n\n```yaml\n{}\n```\n",
        values.trim_end()
    );
    Ok(())
}
