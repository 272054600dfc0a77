//! What a text has cost.

use drdiff_model::DenoisingNetwork;
use drdiff_routing::ComputeReport;

use crate::sequence::Sequence;
use crate::span::Span;
use crate::step_plan::StepPlan;
use crate::{Output, PassCompute, RoutedCompute, StopReason};

/// Adds up passes of the network and their operations.
#[derive(Default)]
pub(crate) struct Meter {
    /// Passes, of which each view of the text counts.
    pub(crate) nfe: usize,
    /// Positions that were denoised.
    canvas: usize,
    flops: u64,
    scoring_flops: u64,
    routed: RoutedCompute,
}

impl Meter {
    /// Counts a pass, which denoised `canvas` positions, by where each view of the text had its rows in it.
    pub(crate) fn count(
        &mut self,
        plan: &StepPlan,
        (spans, canvas): (&[Span], usize),
        report: &ComputeReport,
        network: &dyn DenoisingNetwork,
    ) -> PassCompute {
        let mut cost = PassCompute::default();
        for span in spans {
            cost.add(span.cost(report, network, &plan.visible));
        }
        self.nfe += spans.len();
        self.canvas += canvas;
        self.flops += cost.flops;
        self.scoring_flops += cost.scoring_flops;
        self.routed.add(&cost);
        cost
    }

    /// The complete text with its costs.
    pub(crate) fn output(&mut self, sequence: &mut Sequence, stop: StopReason) -> Output {
        let (text, ids) = sequence.written();
        Output {
            text,
            ids,
            nfe: self.nfe,
            committed_tokens: sequence.committed(),
            canvas_tokens: self.canvas,
            flops: self.flops,
            scoring_flops: self.scoring_flops,
            routed: std::mem::take(&mut self.routed),
            stop,
        }
    }
}
