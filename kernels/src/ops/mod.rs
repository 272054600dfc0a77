//! Operations with gradients: f32 on the CPU, f32 and bf16 on CUDA; gains, biases and angles are always f32.

mod attention;
mod cpu;
mod cross_entropy;
mod embedding;
mod rms_norm;
mod rope;
mod swiglu;

pub(crate) use cpu::Operand;

pub use attention::{Attention, tile_attention};
pub use cross_entropy::{CrossEntropy, linear_cross_entropy};
pub use embedding::embedding;
pub use rms_norm::rms_norm;
pub use rope::{Rotary, qk_norm_rope};
pub use swiglu::swiglu;
