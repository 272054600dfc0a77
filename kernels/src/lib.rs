//! Differentiable operations with CPU and CUDA forms, attention plans and the parameter registry.
//!
//! This is the only crate with `unsafe` code and the only one that knows CUDA.

mod device;
mod error;
mod finite;
mod gemm;
mod mapped;
mod muon;
pub mod naive;
pub mod ops;
mod optim;
pub mod params;
mod plain;
mod plan;
mod quant;
mod simd;
pub mod tape;
mod team;

#[cfg(feature = "cuda")]
mod cuda;

pub use device::{DeviceKind, device, peak_memory, reset_peak_memory};
pub use error::{Error, Result};
pub use finite::all_finite;
pub use mapped::{MappedFile, has_room};
pub use muon::{MuonSlot, MuonStep, muon, orthogonalise};
pub use ops::{
    Attention, AttentionPass, CrossEntropy, Rotary, SoftTarget, Taught, categorical, embedding, entropy_shares,
    fill_runs, frequencies, gated_add, geglu, linear_cross_entropy, merge, mixture, mixture_with_entropy,
    modulated_norm, put_rows, qk_norm_rope, residual_norm, rms_norm, softmax, strongest, swiglu, tile_attention,
};
pub use optim::{AdamWSlot, AdamWStep, adamw_all, global_norm};
pub use params::{Builder, Init, Linear, LoadReport, Loaded, Params, Source};
pub use plain::{PlainLayer, PlainLayers, PlainSizes, Remembered};
pub use plan::{Csr, KeyCode, PlanCost, QueryCode, TILE, TilePlan, Visibility, allowed};
pub use quant::QuantizedMatrix;
pub use tape::{Gradients, HeadNorms, SelfAttend, Tape, Value};
