//! Where the rows of a text lie in a pass, and what they cost.

use std::ops::Range;

use drdiff_model::{DenoisingNetwork, Rows, TokenSegment, Visible};
use drdiff_routing::ComputeReport;

use crate::PassCompute;
use crate::compute::add;

/// The rows of a view of a text.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    rows: Range<usize>,
    /// First row of the block; the end of `rows` if the pass takes in clean tokens only.
    block: usize,
    groups: Range<usize>,
    /// The rows by what the network does with them, but for how often experts ran.
    pub(crate) counts: Rows,
    share: f64,
}

impl Span {
    /// The rows of `segment`, of which the first `clean` are clean and the others may spend this share.
    pub(crate) fn new(segment: &TokenSegment, clean: usize, share: f64) -> Self {
        Self {
            rows: segment.rows.clone(),
            block: segment.rows.start + clean,
            groups: segment.groups.clone(),
            counts: segment.counts,
            share,
        }
    }

    /// What the pass cost of rows that saw what is `visible`.
    pub(crate) fn cost(
        &self,
        report: &ComputeReport,
        network: &dyn DenoisingNetwork,
        visible: &Visible,
    ) -> PassCompute {
        let (spec, open) = (network.spec(), self.counts.open);
        let mut cost = PassCompute {
            share: self.share,
            clean: self.block - self.rows.start,
            // A row that predicts the next token is a clean one.
            settled: (self.rows.end - self.block).saturating_sub(open),
            open,
            ..PassCompute::default()
        };
        for (layer, account) in report.layers().iter().enumerate() {
            let rows = match layer + 1 == spec.layers {
                true => open,
                false => self.rows.len(),
            };
            let rows = rows as u64;
            cost.feed_forward.push(account.flops_of(rows, self.groups.clone()));
            let taken = account.taken.get(self.groups.clone()).unwrap_or_default();
            cost.taken.push(taken.iter().sum());
            if spec.routing.routes(layer, spec.layers)
                && let Some(experts) = account.experts.get(self.block..self.rows.end)
            {
                add(&mut cost.experts, experts);
            }
        }
        let taken = cost.taken.iter().sum();
        (cost.flops, cost.scoring_flops) = network.flops(&Rows { taken, ..self.counts }, visible);
        cost
    }
}
