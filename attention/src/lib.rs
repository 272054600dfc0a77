//! Which positions read which: plans of tiles, the cache of committed keys and values, and the layer that runs them.
//!
//! This crate decides, `drdiff-kernels` computes; between them stands one value, the
//! [`TilePlan`](drdiff_kernels::TilePlan). Nothing here knows about diffusion: it sees positions, lengths and blocks.

mod cache;
mod cost;
mod error;
mod layer;
mod layout;
mod pattern;

pub use cache::KvCache;
pub use cost::attention_flops;
pub use error::{Error, Result};
pub use layer::{Segment, SelfAttention, Shape};
pub use layout::{PassLayout, block_causal, noisy_clean, pass};
pub use pattern::{Dense, NoisyClean, Pattern, PlanCache};
