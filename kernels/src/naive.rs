//! The specification of every operation: plain loops in f64, against which the fast forms are tested.

mod attention;
mod choice;
mod cross_entropy;
mod norm;
mod optim;
mod quant;

pub use attention::{AttentionShape, attention, merge};
pub use choice::{fill_runs, strongest};
pub use cross_entropy::{
    cross_entropy, distribution, divergence, embedding, entropy_shares, expectation, mixture, soft_cross_entropy,
};
pub use norm::{gated_add, geglu, modulated_norm, qk_norm_rope, rms_norm, swiglu};
pub use optim::{adamw, orthogonalise};
pub use quant::quantized_product;
