//! One measurement.

use candle_core::Device;
use serde::{Serialize, Serializer};

use super::clock::Timing;
use crate::COMMIT;
use crate::memory::peak_bytes;

/// What is measured on.
pub(super) struct Machine {
    pub(super) device: Device,
    /// `cpu` or `cuda:N`.
    pub(super) name: String,
    /// CPU threads, if a number was asked for.
    pub(super) threads: Option<usize>,
}

/// What a call does, counted on paper. FLOP/s and bytes/s are these counts by the measured time: they say what part of
/// the machine is used and are no reading of a hardware counter.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Work {
    /// Text tokens or positions that a call takes in or writes.
    pub(super) tokens: Option<u64>,
    /// Multiplications and additions of the matrix products. Softmax, norms and activations are not counted, and
    /// neither are scores that a backward pass makes again beyond once.
    pub(super) flops: Option<u64>,
    /// Bytes that must move between memory and processor if every operand and result moves once.
    pub(super) bytes: Option<u64>,
}

/// Named sizes, in the order of their importance.
#[derive(Debug, Clone, Default)]
pub(super) struct Sizes(pub(super) Vec<(&'static str, usize)>);

impl Serialize for Sizes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// What was called: everything in a row that is not measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Subject {
    /// The subcommand.
    pub(super) bench: &'static str,
    /// The part that was timed.
    pub(super) what: &'static str,
    /// Plan, layout or model.
    pub(super) variant: String,
    /// Whose code, if it is not ours.
    pub(super) peer: Option<&'static str>,
    pub(super) shape: Sizes,
    pub(super) dtype: &'static str,
    /// Allowed pairs by all pairs, of attention.
    pub(super) density: Option<f64>,
}

/// One line of the output.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    pub(super) subject: Subject,
    pub(super) device: String,
    pub(super) threads: Option<usize>,
    /// Samples that `ms` is the median of.
    pub(super) runs: usize,
    /// See [`Timing::ms`].
    pub(super) ms: f64,
    /// See [`Timing::cpu_ms`].
    pub(super) cpu_ms: Option<f64>,
    pub(super) tokens_per_s: Option<f64>,
    /// See [`Work::flops`].
    pub(super) flops_per_s: Option<f64>,
    /// See [`Work::bytes`].
    pub(super) bytes_per_s: Option<f64>,
    /// See [`peak_bytes`].
    pub(super) peak_bytes: Option<u64>,
    /// Revision of the program.
    pub(super) commit: &'static str,
}

impl Row {
    /// The row of a measurement that has just ended: memory is read now.
    pub(super) fn new(subject: Subject, machine: &Machine, timing: Timing, work: Work) -> Self {
        let Timing { ms, cpu_ms, runs } = timing;
        let per_second = |count: Option<u64>| count.map(|count| count as f64 / (ms / 1e3)).filter(|x| x.is_finite());
        Self {
            subject,
            device: machine.name.clone(),
            threads: machine.threads,
            runs,
            ms,
            cpu_ms,
            tokens_per_s: per_second(work.tokens),
            flops_per_s: per_second(work.flops),
            bytes_per_s: per_second(work.bytes),
            peak_bytes: peak_bytes(&machine.device),
            commit: COMMIT,
        }
    }
}
