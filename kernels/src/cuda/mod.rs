//! The CUDA forms of the operations: f32 or bf16 elements, f32 gains and sums, the same results on every run.
//!
//! Forward forms take a storage and its layout, as candle's custom operations get them; backward forms take tensors
//! outside the graph. Views need not be contiguous: a form that cannot read one reads a copy.

#![allow(
    unsafe_code,
    reason = "kernels take raw device addresses; each launch says why its own are valid"
)]

pub(crate) mod adamw;
pub(crate) mod add;
pub(crate) mod attention;
pub(crate) mod cross_entropy;
pub(crate) mod embedding;
pub(crate) mod embedding_rows;
pub(crate) mod fill_runs;
pub(crate) mod gate;
mod launch;
pub(crate) mod memory;
pub(crate) mod merge;
pub(crate) mod modulated_norm;
mod operand;
pub(crate) mod plan;
pub(crate) mod put_rows;
pub(crate) mod reduce;
pub(crate) mod residual_norm;
pub(crate) mod rms_norm;
pub(crate) mod rotary;
pub(crate) mod strongest;
pub(crate) mod swiglu;
