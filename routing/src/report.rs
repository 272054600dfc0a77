//! The account of compute.

use std::ops::Range;

use candle_core::Tensor;
use serde::Serialize;

use crate::{Groups, Result, Routing};

/// Floating-point operations really spent in the feed-forward half, layer by layer, since the report was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ComputeReport {
    layers: Vec<LayerCompute>,
    #[serde(skip)]
    by_row: bool,
}

/// One layer's account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LayerCompute {
    /// Rows that the shared expert ran for: in the last layer those that are read.
    pub rows: u64,
    /// Operations of the shared expert, which runs for every row.
    pub shared_flops: u64,
    /// Operations of the router.
    pub router_flops: u64,
    /// Operations of the routed experts.
    pub routed_flops: u64,
    /// Rows that each expert had.
    pub load: Vec<u64>,
    /// For each group, how often an expert had one of its rows, ...
    pub taken: Vec<u64>,
    /// ... and how many rows the router saw.
    pub seen: Vec<u64>,
    /// For each row of the pass, how many experts it had; empty unless asked for and routed.
    pub experts: Vec<u32>,
}

impl LayerCompute {
    /// Operations of the layer's feed-forward half.
    #[must_use]
    pub fn flops(&self) -> u64 {
        self.shared_flops + self.router_flops + self.routed_flops
    }

    /// The part of [`LayerCompute::flops`] that so many of its rows cost whose blocks are these `groups`.
    #[must_use]
    pub fn flops_of(&self, rows: u64, groups: Range<usize>) -> u64 {
        let part = |total: u64, of: &[u64]| {
            let mine: u64 = of.get(groups.clone()).unwrap_or_default().iter().sum();
            total / of.iter().sum::<u64>().max(1) * mine
        };
        self.shared_flops / self.rows.max(1) * rows
            + part(self.router_flops, &self.seen)
            + part(self.routed_flops, &self.taken)
    }
}

impl ComputeReport {
    /// A report that also says how many experts each row had, which costs a copy from the device for each routed layer.
    #[must_use]
    pub fn by_row() -> Self {
        Self {
            by_row: true,
            ..Self::default()
        }
    }

    /// The layers, in the order of the network.
    #[must_use]
    pub fn layers(&self) -> &[LayerCompute] {
        &self.layers
    }

    /// Operations of all layers together.
    #[must_use]
    pub fn flops(&self) -> u64 {
        self.layers.iter().map(LayerCompute::flops).sum()
    }

    /// Adds what `layer` spends on every one of `rows` rows.
    pub fn add(&mut self, layer: usize, rows: u64, flops: u64) {
        let account = self.layer(layer);
        account.rows += rows;
        account.shared_flops += flops;
    }

    /// Adds what the router of `layer` spends on each row that it sees, and each expert on each of its rows.
    pub(crate) fn add_routed(
        &mut self,
        layer: usize,
        [router, expert]: [u64; 2],
        groups: &Groups,
        routing: &Routing,
    ) -> Result<()> {
        let by_row = self.by_row;
        let account = self.layer(layer);
        let sum = |into: &mut Vec<u64>, counts: &[usize]| {
            into.resize(into.len().max(counts.len()), 0);
            into.iter_mut()
                .zip(counts)
                .for_each(|(sum, count)| *sum += *count as u64);
        };
        sum(&mut account.load, &routing.counts);
        sum(&mut account.taken, &routing.taken);
        let seen: Vec<usize> = groups.iter().map(|group| group.len).collect();
        sum(&mut account.seen, &seen);
        account.router_flops += router * groups.members() as u64;
        account.routed_flops += expert * routing.counts.iter().sum::<usize>() as u64;
        if let (true, Some(chosen)) = (by_row, &routing.chosen) {
            account.experts = experts_of_rows(&chosen.rows, groups.rows())?;
        }
        Ok(())
    }

    fn layer(&mut self, layer: usize) -> &mut LayerCompute {
        if self.layers.len() <= layer {
            self.layers.resize(layer + 1, LayerCompute::default());
        }
        &mut self.layers[layer]
    }
}

fn experts_of_rows(taken: &Tensor, rows: usize) -> Result<Vec<u32>> {
    let mut experts = vec![0; rows];
    for row in taken.to_vec1::<u32>()? {
        experts[row as usize] += 1;
    }
    Ok(experts)
}
