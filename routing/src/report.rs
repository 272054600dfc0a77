//! The account of compute.

use serde::Serialize;

/// Floating-point operations really spent in the feed-forward half, layer by layer, since the report was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ComputeReport {
    layers: Vec<LayerCompute>,
}

/// One layer's account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct LayerCompute {
    rows: u64,
    shared_flops: u64,
    routed_flops: u64,
}

impl ComputeReport {
    /// Adds what `layer` spent on `rows` rows.
    pub(crate) fn add(&mut self, layer: usize, rows: u64, shared_flops: u64, routed_flops: u64) {
        if self.layers.len() <= layer {
            self.layers.resize(layer + 1, LayerCompute::default());
        }
        let account = &mut self.layers[layer];
        account.rows += rows;
        account.shared_flops += shared_flops;
        account.routed_flops += routed_flops;
    }

    /// Operations of all layers together.
    pub fn flops(&self) -> u64 {
        self.layers.iter().map(|l| l.shared_flops + l.routed_flops).sum()
    }

    /// Operations of one layer.
    pub fn layer_flops(&self, layer: usize) -> u64 {
        self.layers.get(layer).map_or(0, |l| l.shared_flops + l.routed_flops)
    }
}
