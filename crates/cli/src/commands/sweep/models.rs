//! The models of a sweep, loaded before anything is written, so that none of them can be the wrong one later.

use std::path::Path;

use anyhow::Result;
use candle_core::Device;
use drdiff_generation::Engine;
use drdiff_jobs::sweep::{BUNDLED, ModelId, Plan};

use crate::exit::usage;
use crate::model::find;

/// A model, ready to write.
pub(super) struct Model {
    pub(super) id: ModelId,
    pub(super) engine: Engine,
}

/// Loads the models of a plan, and leaves out the cells that they cannot run.
pub(super) fn load(plan: &mut Plan, batch: usize, device: &Device, quiet: bool) -> Result<Vec<Model>> {
    let mut models: Vec<Model> = Vec::new();
    for name in plan.models() {
        let path = (name != BUNDLED).then(|| Path::new(&name));
        let source = find(path, quiet)?;
        let (network, tokenizer) = source.load(device)?;
        if let Some(other) = models
            .first()
            .filter(|model| model.engine.tokenizer().hash() != tokenizer.hash())
        {
            return Err(usage(format!(
                "{} and {name} have different tokenizers, so entropies of their tokens cannot be compared; sweep them \
                 one by one",
                other.id.name
            )));
        }
        let mut engine = Engine::new(network, tokenizer, batch)?;
        plan.fit(&name, &mut engine);
        let hash = source.hash();
        models.push(Model {
            id: ModelId { name, hash },
            engine,
        });
    }
    if plan.cells.is_empty() {
        let reason = plan
            .left_out
            .first()
            .map_or("there is none", |left_out| &left_out.reason);
        return Err(usage(format!("no cell of the sweep can be run: {reason}")));
    }
    Ok(models)
}
