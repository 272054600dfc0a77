//! What a pass costs, in floating-point operations.

use drdiff_attention::Neighbours;
use drdiff_attention::retrieval::Units;

use crate::ModelConfig;
use crate::batch::Visible;
use crate::retrieval::shape;

/// The rows that one sequence has in a generation pass, by what the network does with them.
///
/// Counted are the products of matrices and vectors, two operations for each pair of numbers that are multiplied and
/// added: the linear maps of every block, exact attention over the allowed pairs of the plan, the map to evidence, the
/// logits, and the data prediction where a solver or self-conditioning asks for it. Norms, rotations, activations,
/// softmax and drawing are left out, and so is what depends on parameters
/// alone and is computed once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rows {
    /// All rows: clean ones that enter the cache, and the block.
    pub all: usize,
    /// Rows without a token yet; they get logits, and the last feed-forward half runs for them alone.
    pub open: usize,
    /// Open rows with soft evidence, which goes through the token map.
    pub soft: usize,
    /// Rows that see an earlier data prediction.
    pub conditioned: usize,
    /// Open rows whose data prediction is computed.
    pub data: usize,
    /// Rows whose experts a router chooses, in every routed layer.
    pub routed: usize,
    /// How often an expert ran for a row, over all layers.
    pub taken: u64,
}

impl Rows {
    /// Operations of the pass in a network of this shape, with what the rows see.
    #[must_use]
    pub fn flops(&self, config: &ModelConfig, visible: &Visible) -> u64 {
        let ModelConfig {
            vocab,
            width,
            embed,
            layers,
            heads,
            kv_heads,
            head_dim,
            hidden,
            ref routing,
            ref attention,
            ..
        } = *config;
        let neighbours = attention.neighbours;
        let qkv = (heads + 2 * kv_heads) * head_dim * width;
        let out = heads * head_dim * width;
        // Nobody reads the last layer at rows that are not open.
        let fed = (layers - 1) * self.all + self.open;
        let blocks = 2 * ((qkv + out) * layers * self.all + 3 * width * hidden * fed);
        let ends = 2 * embed * (width * (self.open + self.soft + self.conditioned) + vocab * (self.open + self.data));
        let scores = 2 * width * routing.experts * self.routed * routing.routed_layers(layers).count();
        let expert = 6 * (width * routing.expert_hidden) as u64;
        (blocks + ends + scores) as u64
            + expert * self.taken
            + (layers * self.all * Neighbours::flops(width, neighbours)) as u64
            + visible.plan.flops(layers, heads, head_dim)
            + config.retrieval_flops(visible.units.as_deref())
    }
}

impl ModelConfig {
    /// Operations of retrieval in a forward pass of one sequence with these units: none if the network does not retrieve.
    #[must_use]
    pub fn retrieval_flops(&self, units: Option<&Units>) -> u64 {
        match (self.attention.retrieves(), units) {
            (Some(numbers), Some(units)) => numbers.flops(shape(self), self.layers, units),
            _ => 0,
        }
    }

    /// The part of [`ModelConfig::retrieval_flops`] that grows with the text: scoring landmarks.
    #[must_use]
    pub fn scoring_flops(&self, units: Option<&Units>) -> u64 {
        match (self.attention.retrieves(), units) {
            (Some(numbers), Some(units)) => numbers.scoring_flops(self.layers, units),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use drdiff_attention::{LayerPlans, PassLayout, pass};
    use drdiff_kernels::TilePlan;

    use super::*;

    #[test]
    fn a_pass_is_counted_by_hand() {
        let mut config = ModelConfig {
            vocab: 11,
            width: 4,
            embed: 3,
            layers: 2,
            heads: 2,
            kv_heads: 1,
            head_dim: 2,
            hidden: 5,
            context: 16,
            rope_base: 10_000.0,
            rope_scaling: None,
            qk_norm_eps: Some(1e-6),
            qkv_bias: false,
            head: Default::default(),
            mask: Default::default(),
            causal_context: false,
            next_token: false,
            norm_eps: 1e-6,
            noise_conditioning: false,
            embedding_skips: false,
            form: Default::default(),
            attention: Default::default(),
            routing: Default::default(),
        };
        let layout = PassLayout {
            committed: 2,
            clean: 2,
            clean_block: 2,
            noisy: 2,
        };
        let plan = LayerPlans::from(TilePlan::new(&[pass(layout).unwrap()]).unwrap()).into();
        let mut rows = Rows {
            all: 4,
            open: 2,
            soft: 1,
            data: 2,
            ..Rows::default()
        };
        // Clean rows see 4 keys each, the block's rows 6: 20 pairs; 2 products of 2 operations over 2 heads of 2.
        let attention = 20 * 4 * 4;
        // 4 rows through 4 -> 8 (queries, keys, values) and 4 -> 4 in both layers; through 4 -> 10 and 5 -> 4 all of them in
        // the first, and the open ones in the last.
        let linear = 2 * 4 * 2 * (4 * 8 + 4 * 4) + (4 + 2) * 2 * (4 * 10 + 5 * 4);
        // 2 rows to evidence and 1 from it (4 x 3); logits and data prediction of 2 rows (3 x 11).
        let ends = 2 * 12 * 3 + 2 * 33 * 4;
        assert_eq!(rows.flops(&config, &plan), 2 * attention + linear + ends);
        // In 2 layers 16 numbers of each of 4 rows, and those of a neighbour to each side.
        let beside = 2 * 4 * 2 * (4 * 16 + 2 * 16 * 4);
        config.attention.neighbours = 1;
        assert_eq!(rows.flops(&config, &plan), 2 * attention + linear + ends + beside);
        config.attention.neighbours = 0;
        // The upper of the 2 layers: scores of 2 rows for 3 experts; 5 times 4 -> 12 and 6 -> 4.
        (rows.routed, rows.taken) = (2, 5);
        config.routing = serde_json::from_str(r#"{"kind": "threshold", "experts": 3, "expert_hidden": 6}"#).unwrap();
        let routed = 2 * 2 * (4 * 3) + 5 * 2 * (4 * 12 + 6 * 4);
        assert_eq!(rows.flops(&config, &plan), 2 * attention + linear + ends + routed);
    }
}
