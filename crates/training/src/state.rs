//! A run on disk: the averaged weights for generation, and everything that going on needs.

use std::path::Path;

use candle_core::{DType, Device};
use drdiff_data::Corpus;
use drdiff_kernels::Loaded;
use drdiff_model::{Checkpoint, Metadata, load_checkpoint, save_checkpoint};

use crate::changes::{changes, record};
use crate::optimizer::is_of_state;
use crate::{Error, Result, TrainConfig, Trainer};

/// Weights for generation, in the output folder.
pub const MODEL_FILE: &str = "model.safetensors";
/// Weights, moments and averages, in the output folder.
pub const TRAINING_FILE: &str = "training.safetensors";

/// Whether tensors of these names are the state of a run, which training goes on from, and not a model.
pub fn is_state<'n>(names: impl IntoIterator<Item = &'n str>) -> bool {
    names.into_iter().any(is_of_state)
}

impl<'c> Trainer<'c> {
    /// Writes both files into `dir`, each atomically; the state last, since it is what a resumed run trusts.
    ///
    /// # Errors
    /// If the folder cannot be written to; files that were there stay whole.
    pub fn save(&self, dir: &Path, commit: &str) -> Result<()> {
        let metadata = Metadata {
            config: self.config.model.clone(),
            step: self.step,
            tokens: self.tokens,
            tokenizer_hash: self.corpus.tokenizer().hash().to_owned(),
            commit: commit.to_owned(),
            training: record(&self.config, self.corpus)?,
        };
        save_checkpoint(&dir.join(MODEL_FILE), &metadata, &self.optimizer.averaged())?;
        let mut state = self.optimizer.state()?;
        if let Some(teacher) = &self.teacher {
            state.extend(teacher.state());
        }
        save_checkpoint(&dir.join(TRAINING_FILE), &metadata, &state)?;
        Ok(())
    }

    /// Goes on where [`Trainer::save`] stopped. On a CPU the run is then bit for bit the one that was never stopped,
    /// as long as configuration and corpus are the same; cadence and learning rate may be changed, and `steps` may grow: a leg
    /// at a constant rate (`decay_share` 0) may so be followed by longer ones, of which the last decays. What else differs is
    /// told by [`Trainer::changes`].
    ///
    /// # Errors
    /// If the file is missing, damaged, of a network of another shape, tokenizer or optimiser, or of a longer run; if it kept no
    /// average of the weights and the configuration asks for one.
    pub fn resume(config: TrainConfig, corpus: &'c Corpus, dir: &Path, device: &Device) -> Result<Self> {
        let path = dir.join(TRAINING_FILE);
        let Checkpoint { metadata, mut tensors } = load_checkpoint(&path, device)?;
        let foreign = |reason: &str| Error::Resume {
            path: path.clone(),
            reason: reason.to_owned(),
        };
        if metadata.tokenizer_hash != corpus.tokenizer().hash() {
            return Err(foreign(
                "it was trained with another tokenizer; name the corpus that it was trained on",
            ));
        }
        if metadata.config != config.model {
            return Err(foreign(
                "its `model` section differs; give the configuration that it was started with",
            ));
        }
        // Settings that are younger than the run have their defaults in it.
        let distill = metadata.training.get("distill").cloned().unwrap_or_default();
        if serde_json::from_value(distill).ok().as_ref() != Some(&config.distill) {
            return Err(foreign(
                "its `distill` section differs; give the one that it was started with, and `--distill` if there was one",
            ));
        }
        if config.distill.is_some() && metadata.training.get("steps") != Some(&config.steps.into()) {
            return Err(foreign(
                "its `steps` differ, and with them the rounds of the distillation; give the same number",
            ));
        }
        let name = |muon: bool| if muon { "muon" } else { "adamw" };
        let before = metadata
            .training
            .pointer("/optimizer/muon")
            .is_some_and(|muon| !muon.is_null());
        let now = config.optimizer.muon.is_some();
        if before != now {
            let (before, now) = (name(before), name(now));
            return Err(foreign(&format!(
                "its matrices were moved by {before}, the configuration says {now}; give `optimizer.muon` as it was, or begin a new \
                 run with `--from` and this one's folder"
            )));
        }
        let average = metadata
            .training
            .pointer("/optimizer/ema")
            .and_then(serde_json::Value::as_f64);
        if average == Some(0.0) && config.optimizer.ema > 0.0 {
            return Err(foreign(
                "it kept no average of the weights, which cannot be begun later; give `optimizer.ema` as it was, which is 0",
            ));
        }
        if config.steps < metadata.step {
            let (taken, steps) = (metadata.step, config.steps);
            return Err(foreign(&format!(
                "it has taken {taken} steps and `steps` is {steps}; a run may only grow, so give `steps` of at least {taken}"
            )));
        }
        let mut trainer = Trainer::begin(config, corpus, None, device)?;
        let mut take = |name: &str, dims: &[usize]| match tensors.remove(name) {
            Some(Loaded::Dense(tensor)) if tensor.dims() == dims => Ok(tensor.to_dtype(DType::F32)?),
            Some(_) => Err(foreign(&format!("`{name}` has another shape"))),
            None => Err(foreign(&format!("it has no `{name}`"))),
        };
        trainer.optimizer.restore(metadata.step, &mut take)?;
        trainer.step = metadata.step;
        trainer.restore_teacher(&mut take)?;
        trainer.tokens = metadata.tokens;
        trainer.changes = changes(&metadata.training, &record(&trainer.config, corpus)?);
        Ok(trainer)
    }
}

/// Steps of the run whose state lies in `dir`, whoever wrote it; `None` if there is none that a run could go on from.
pub(crate) fn saved_step(dir: &Path) -> Option<u64> {
    let state = load_checkpoint(&dir.join(TRAINING_FILE), &Device::Cpu).ok()?;
    Some(state.metadata.step)
}
