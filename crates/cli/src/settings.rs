//! Where settings come from: presets, files, `DRDIFF_…` variables and `--set`, merged by `drdiff-configs`.

use anyhow::Result;
use drdiff_configs::{Inputs, Resolved, Section};

/// The configuration of one kind, with the origin of each value.
pub(crate) fn resolve<T: Section>(config: Option<&str>, sets: &[String]) -> Result<Resolved<T>> {
    let mut inputs = Inputs::default();
    if let Some(config) = config {
        inputs.config(config);
    }
    // Variables that are not UTF-8 are not ours.
    inputs.environment(
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
    );
    sets.iter().for_each(|set| inputs.set(set));
    Ok(inputs.resolve()?)
}
