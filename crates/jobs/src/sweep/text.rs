//! The texts of a sweep: which there are, and what the journal keeps of each.

use drdiff_generation::{Output, Settings, StopReason};
use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::config::SweepConfig;

/// Where and with what a sweep runs: what a text's time depends on besides its settings, and what a record names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The device, as `--device` names it.
    pub device: String,
    /// Revision of the program.
    pub commit: String,
}

/// A model as a sweep names it, and the hash of its weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelId {
    /// `bundled`, a folder or a file.
    pub name: String,
    /// blake3 of the weights file.
    pub hash: String,
}

/// One text to write: seed and request key its noise, and are the same in every cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// Index of the prompt.
    pub(super) prompt: usize,
    /// Seed of the noise.
    pub(super) seed: u64,
    /// Request id of the noise.
    pub(super) request: u64,
}

/// The texts of each cell, seed by seed, prompt by prompt.
pub(super) fn slots(config: &SweepConfig, prompts: usize) -> Vec<Slot> {
    let of_seed = |seed: u64| {
        (0..prompts).flat_map(move |prompt| {
            (0..config.texts).map(move |text| Slot {
                prompt,
                seed,
                request: (prompt * config.texts + text) as u64,
            })
        })
    };
    config.seeds.iter().copied().flat_map(of_seed).collect()
}

/// A finished text, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextRecord {
    /// Hash of everything that decides the text and its time.
    pub key: String,
    /// Index of the prompt in the sweep that wrote it.
    pub prompt: usize,
    /// Seed of the noise.
    pub seed: u64,
    /// Request id of the noise.
    pub request: u64,
    /// The text, without the prompt.
    pub text: String,
    /// Its tokens, without end-of-text.
    pub ids: Vec<u32>,
    /// Network passes.
    pub nfe: usize,
    /// Tokens committed, including any behind the end of the text.
    pub tokens_committed: usize,
    /// Positions that were denoised, summed over passes.
    pub tokens_canvas: usize,
    /// Floating-point operations of the network.
    pub flops: u64,
    /// Time of its passes; of a pass for several texts, an equal share.
    pub seconds: f64,
    /// Whether the model ended it.
    pub ended: bool,
    /// Revision of the program that wrote it.
    pub commit: String,
    /// Model, settings and device, for readers of the journal.
    pub made_by: MadeBy,
}

/// How a text was made, in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MadeBy {
    /// blake3 of the weights file.
    pub model: String,
    /// The device.
    pub device: String,
    /// Texts written at once.
    pub batch: usize,
    /// The prompt.
    pub prompt: String,
    /// All settings, the seed among them.
    pub settings: Settings,
}

impl MadeBy {
    pub(super) fn new(cell: &Cell, slot: Slot, prompt: &str, batch: usize, model: &str, device: &str) -> Self {
        Self {
            model: model.to_owned(),
            device: device.to_owned(),
            batch,
            prompt: prompt.to_owned(),
            settings: Settings {
                seed: slot.seed,
                ..cell.settings.clone()
            },
        }
    }

    /// Equal keys mean equal texts that were timed in the same way. Where the prompt stands in its list does not
    /// matter, but which noise it gets does.
    pub(super) fn key(&self, request: u64) -> String {
        // Plain numbers and names, which always have a JSON form.
        let json = serde_json::to_string(&(self, request)).unwrap_or_default();
        blake3::hash(json.as_bytes()).to_hex().to_string()
    }

    pub(super) fn record(self, slot: Slot, output: Output, seconds: f64, commit: &str) -> TextRecord {
        TextRecord {
            key: self.key(slot.request),
            prompt: slot.prompt,
            seed: slot.seed,
            request: slot.request,
            text: output.text,
            ids: output.ids,
            nfe: output.nfe,
            tokens_committed: output.committed_tokens,
            tokens_canvas: output.canvas_tokens,
            flops: output.flops,
            seconds,
            ended: output.stop == StopReason::End,
            commit: commit.to_owned(),
            made_by: self,
        }
    }
}
