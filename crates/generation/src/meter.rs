//! What a text has cost.

use drdiff_model::{DenoisingNetwork, Rows, TokenSegment};
use drdiff_routing::ComputeReport;

use crate::block::Block;
use crate::compute::add;
use crate::sequence::Sequence;
use crate::step_plan::{Predicts, StepPlan};
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
    /// Counts a pass, before what it said is taken, by where each view of the text had its rows in it.
    pub(crate) fn count(
        &mut self,
        (sequence, plan): (&Sequence, &StepPlan),
        views: &[TokenSegment],
        report: &ComputeReport,
        network: &dyn DenoisingNetwork,
    ) -> PassCompute {
        let share = sequence.share(&network.spec().routing);
        let mut cost = PassCompute::default();
        for segment in views {
            cost.add(PassCompute {
                share,
                ..view(segment, plan, report, network)
            });
        }
        self.nfe += views.len();
        self.canvas += match &plan.predicts {
            Predicts::Nothing => 0,
            Predicts::NextToken => 1,
            Predicts::Block => sequence.writing.block().map_or(0, Block::len),
            Predicts::Drafts(rows) => rows.asked(),
        };
        self.flops += cost.flops;
        self.scoring_flops += cost.scoring_flops;
        self.routed.add(&cost);
        cost
    }

    /// The complete text with its costs.
    pub(crate) fn output(&mut self, sequence: &mut Sequence, stop: StopReason) -> Output {
        let (text, ids) = sequence.text.take();
        Output {
            text,
            ids,
            nfe: self.nfe,
            committed_tokens: sequence.committed,
            canvas_tokens: self.canvas,
            flops: self.flops,
            scoring_flops: self.scoring_flops,
            routed: std::mem::take(&mut self.routed),
            drafts: sequence.writing.drafts().map(|drafts| drafts.run.counts().clone()),
            stop,
        }
    }
}

/// What a pass by `plan` cost of one view.
fn view(
    segment: &TokenSegment,
    plan: &StepPlan,
    report: &ComputeReport,
    network: &dyn DenoisingNetwork,
) -> PassCompute {
    let TokenSegment {
        rows,
        groups,
        counts,
        visible,
        ..
    } = segment;
    let clean = plan.clean.len();
    let (spec, open, block) = (network.spec(), counts.open, rows.start + clean);
    let mut cost = PassCompute {
        clean,
        settled: match &plan.predicts {
            Predicts::Nothing | Predicts::NextToken => 0,
            Predicts::Block => rows.len() - clean - open,
            Predicts::Drafts(drafts) => drafts.unasked(),
        },
        open,
        ..PassCompute::default()
    };
    for (layer, account) in report.layers().iter().enumerate() {
        let ran = match layer + 1 == spec.layers {
            true => open,
            false => rows.len(),
        };
        cost.feed_forward.push(account.flops_of(ran as u64, groups.clone()));
        let taken = account.taken.get(groups.clone()).unwrap_or_default();
        cost.taken.push(taken.iter().sum());
        if spec.routing.routes(layer, spec.layers)
            && let Some(experts) = account.experts.get(block..rows.end)
        {
            add(&mut cost.experts, experts);
        }
    }
    let taken = cost.taken.iter().sum();
    (cost.flops, cost.scoring_flops) = network.flops(&Rows { taken, ..*counts }, visible);
    cost
}
