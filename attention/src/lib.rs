//! Which positions read which: plans of tiles, the cache of committed keys and values, and the layer that runs them.
//!
//! This crate decides, `drdiff-kernels` computes; between them stands one value, the
//! [`TilePlan`](drdiff_kernels::TilePlan). Nothing here knows about diffusion: it sees positions, lengths and blocks.

mod cache;
mod config;
mod cost;
mod error;
mod layer;
mod layers;
mod layout;
mod length_adaptive;
mod neighbours;
mod pattern;
pub mod retrieval;
mod tree;
mod window;

pub use cache::{Bank, CacheShape, Cohort, KvCache, Place};
pub use config::{AttentionConfig, PlanKind, Rest, TreeConfig};
pub use cost::attention_flops;
pub use error::{Error, Result};
pub use layer::{Past, Segment, SelfAttention, Shape};
pub use layers::{LayerPlans, Reads};
pub use layout::{Branch, PassLayout, block_causal, branched, noisy_causal, noisy_clean, pass};
pub use length_adaptive::{LengthAdaptive, Ring};
pub use neighbours::{Neighbours, beside};
pub use pattern::{NoisyClean, Pattern, PlanCache, Whole};
pub use tree::{CausalTree, Tree, TreePass, causal_attention, tree_attention};
pub use window::{CausalWindow, LocalPlan};
