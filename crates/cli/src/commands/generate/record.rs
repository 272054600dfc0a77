//! What `--json` prints and a trace begins with.

use drdiff_generation::{Output, PassCompute, RoutedCompute, Settings, StopReason};
use drdiff_solver::DraftCounts;
use serde::Serialize;

/// How a text is made: everything that decides it, besides the machine.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Setup {
    pub(super) version: &'static str,
    /// Revision of the program.
    pub(super) commit: &'static str,
    /// Weights file, or `bundled`.
    pub(super) model: String,
    /// blake3 of the weights file.
    pub(super) model_hash: String,
    pub(super) device: String,
    pub(super) prompt: String,
    pub(super) process: &'static str,
    /// The soft processes' solver; the absorbing process draws from its own posterior, step by step.
    pub(super) solver: &'static str,
    pub(super) steps: usize,
    pub(super) block_size: usize,
    pub(super) seed: u64,
    /// All settings, those above included.
    pub(super) settings: Settings,
}

/// What came out and what it cost.
#[derive(Debug, Serialize)]
pub(super) struct Record<'a> {
    /// The new text; for infilling the whole text.
    pub(super) text: &'a str,
    pub(super) ids: &'a [u32],
    pub(super) stop_reason: &'static str,
    /// Network passes.
    pub(super) nfe: usize,
    pub(super) tokens_committed: usize,
    /// Positions that were denoised, summed over passes.
    pub(super) canvas_tokens: usize,
    /// Floating-point operations of the network.
    pub(super) flops: u64,
    /// The part of them that scores landmarks, which alone grows with the text.
    pub(super) scoring_flops: u64,
    /// The feed-forward halves' part of them.
    pub(super) routed: &'a RoutedCompute,
    /// How drafts fared, where they were checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) drafts: Option<&'a DraftCounts>,
    /// Time to load the model.
    pub(super) load_seconds: f64,
    /// Time from the start of the program to the end of the text.
    pub(super) wall_seconds: f64,
    /// See [`peak_bytes`](crate::memory::peak_bytes).
    pub(super) peak_bytes: Option<u64>,
    #[serde(flatten)]
    pub(super) setup: &'a Setup,
}

/// A text as far as it is written, so that an interrupted one can be told as well.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) text: String,
    pub(super) ids: Vec<u32>,
    pub(super) nfe: usize,
    pub(super) tokens_committed: usize,
    pub(super) canvas_tokens: usize,
    pub(super) flops: u64,
    pub(super) scoring_flops: u64,
    pub(super) routed: RoutedCompute,
    pub(super) drafts: Option<DraftCounts>,
    stop: Option<StopReason>,
    /// The block that is being written.
    canvas: Vec<u32>,
}

impl Written {
    /// A pass has denoised `canvas`.
    pub(super) fn pass(&mut self, nfe: usize, canvas: &[Option<u32>], compute: &PassCompute) {
        self.flops += compute.flops;
        self.scoring_flops += compute.scoring_flops;
        self.routed.add(compute);
        self.nfe = nfe;
        self.canvas_tokens += canvas.len();
        self.canvas = canvas.iter().flatten().copied().collect();
    }

    /// The block is finished; the text now has `tokens` tokens.
    pub(super) fn block(&mut self, text: &str, tokens: usize) {
        self.text.push_str(text);
        self.tokens_committed += self.canvas.len();
        self.ids.append(&mut self.canvas);
        self.ids.truncate(tokens);
    }

    /// The text is complete.
    pub(super) fn finish(&mut self, output: Output) {
        let Output {
            text,
            ids,
            nfe,
            committed_tokens,
            canvas_tokens,
            flops,
            scoring_flops,
            routed,
            drafts,
            stop,
        } = output;
        *self = Self {
            text,
            ids,
            nfe,
            tokens_committed: committed_tokens,
            canvas_tokens,
            flops,
            scoring_flops,
            routed,
            drafts,
            stop: Some(stop),
            canvas: Vec::new(),
        };
    }

    /// Why the text ended.
    pub(super) fn stop_reason(&self) -> &'static str {
        match self.stop {
            Some(stop) => stop.name(),
            None => "interrupted",
        }
    }
}
