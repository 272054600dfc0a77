//! Operations with gradients: f32 on the CPU, f32 and bf16 on CUDA; gains, biases and angles are always f32.

mod add;
mod attention;
mod categorical;
mod cpu;
mod cross_entropy;
mod divergence;
mod embedding;
mod entropy;
mod expectation;
mod fill_runs;
mod gate;
mod geglu;
mod merge;
mod mixture;
mod modulated_norm;
mod put_rows;
mod residual_norm;
mod rms_norm;
mod rope;
mod self_attention;
mod strongest;
mod swiglu;

pub(crate) use add::add;
pub(crate) use cpu::Operand;
pub(crate) use cross_entropy::{Parts, cross_entropy_parts};
pub(crate) use divergence::divergence_parts;
pub(crate) use embedding::backward as embedding_backward;
pub(crate) use expectation::Expectation;
pub(crate) use gate::gated_add_backward;
pub(crate) use merge::merge_backward;
#[cfg(feature = "cuda")]
pub(crate) use modulated_norm::ModulatedGradients;
pub(crate) use modulated_norm::modulated_norm_backward;
pub(crate) use residual_norm::residual_norm_backward;
pub(crate) use rms_norm::RmsNorm;
pub(crate) use self_attention::{Attended, Fused};
pub(crate) use swiglu::SwiGlu;

pub use attention::{Attention, AttentionPass, tile_attention};
pub use categorical::categorical;
pub use cross_entropy::{CrossEntropy, linear_cross_entropy};
pub use divergence::SoftTarget;
pub use embedding::embedding;
pub use entropy::entropy_shares;
pub use fill_runs::fill_runs;
pub use gate::gated_add;
pub use geglu::geglu;
pub use merge::merge;
pub use mixture::{mixture, mixture_with_entropy, softmax};
pub use modulated_norm::modulated_norm;
pub use put_rows::put_rows;
pub use residual_norm::residual_norm;
pub use rms_norm::rms_norm;
pub use rope::{Rotary, frequencies, qk_norm_rope};
pub use strongest::strongest;
pub use swiglu::swiglu;
