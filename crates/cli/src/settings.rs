//! Where settings come from: presets, files, `DRDIFF_…` variables and `--set`, merged by `drdiff-configs`.

use anyhow::Result;
use drdiff_configs::{Inputs, Resolved, Section};
use drdiff_model::ModelConfig;

use crate::exit::usage;

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

/// A model's configuration with some values changed, of those that its weights do not depend on.
pub(crate) fn changed(config: &ModelConfig, sets: &[String]) -> Result<ModelConfig> {
    let mut inputs = Inputs::default();
    inputs.start_from("the model's configuration", config)?;
    sets.iter().for_each(|set| inputs.set(set));
    let changed = inputs.resolve::<ModelConfig>()?.value;
    if !config.fits(&changed) {
        return Err(usage(
            "`--set` makes a model of another shape, which these weights do not fit; change `attention` and `context` only",
        ));
    }
    Ok(changed)
}
