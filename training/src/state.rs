//! A run on disk: the averaged weights for generation, and everything that going on needs.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use drdiff_kernels::Loaded;
use drdiff_model::{Checkpoint, Metadata, load_checkpoint, save_checkpoint};

use crate::data::Corpus;
use crate::muon::Muon;
use crate::{Error, Result, TrainConfig, Trainer};

/// Weights for generation, in the output folder.
pub const MODEL_FILE: &str = "model.safetensors";
/// Weights, moments and averages, in the output folder.
pub const TRAINING_FILE: &str = "training.safetensors";

const WEIGHT: &str = "weight";
const FIRST: &str = "first_moment";
const SECOND: &str = "second_moment";
const MOMENTUM: &str = "momentum";
const AVERAGE: &str = "average";

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
            training: serde_json::to_value(&self.config).map_err(|e| Error::Config(e.to_string()))?,
        };
        let (mut weights, mut state) = (Vec::new(), Vec::new());
        let momenta = self
            .optimizer
            .muon
            .as_ref()
            .map(Muon::momenta)
            .transpose()?
            .unwrap_or_default();
        for (index, slot) in self.optimizer.slots.iter().enumerate() {
            let weight = slot.var.as_tensor();
            let (first, second) = slot.moments.as_ref().map(|(first, second)| (first, second)).unzip();
            weights.push((slot.name.clone(), slot.average.as_ref().unwrap_or(weight).clone()));
            let parts = [
                (WEIGHT, Some(weight)),
                (FIRST, first),
                (SECOND, second),
                (MOMENTUM, momenta.get(&index)),
                (AVERAGE, slot.average.as_ref()),
            ];
            for (kind, tensor) in parts {
                state.extend(tensor.map(|tensor| (format!("{kind}.{}", slot.name), tensor.clone())));
            }
        }
        save_checkpoint(&dir.join(MODEL_FILE), &metadata, &weights)?;
        save_checkpoint(&dir.join(TRAINING_FILE), &metadata, &state)?;
        Ok(())
    }

    /// Goes on where [`Trainer::save`] stopped. On a CPU the run is then bit for bit the one that was never stopped,
    /// as long as the configuration is the same; cadence, length and learning rate may be changed.
    ///
    /// # Errors
    /// If the file is missing, damaged, or of a network of another shape or tokenizer.
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
        let mut take = |kind: &str, name: &str| match tensors.remove(&format!("{kind}.{name}")) {
            Some(Loaded::Dense(tensor)) => Ok(tensor),
            _ => Err(foreign(&format!(
                "it has no `{kind}.{name}`; give the `optimizer` section that it was started with"
            ))),
        };
        let mut trainer = Trainer::new(config, corpus, None, device)?;
        let mut momenta = BTreeMap::new();
        for (index, slot) in trainer.optimizer.slots.iter_mut().enumerate() {
            let shape = slot.var.shape().clone();
            let mut fetch = |kind: &str| -> Result<Tensor> {
                let tensor = take(kind, &slot.name)?;
                if *tensor.shape() != shape {
                    return Err(foreign(&format!("`{kind}.{}` has another shape", slot.name)));
                }
                Ok(tensor)
            };
            slot.var.set(&fetch(WEIGHT)?)?;
            match &mut slot.moments {
                Some(moments) => *moments = (fetch(FIRST)?, fetch(SECOND)?),
                None => {
                    momenta.insert(index, fetch(MOMENTUM)?);
                }
            }
            if slot.average.is_some() {
                slot.average = Some(fetch(AVERAGE)?);
            }
        }
        if let Some(muon) = &mut trainer.optimizer.muon {
            muon.set_momenta(&momenta)?;
        }
        trainer.optimizer.updates = metadata.step;
        trainer.step = metadata.step;
        trainer.tokens = metadata.tokens;
        Ok(trainer)
    }
}
