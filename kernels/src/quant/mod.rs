//! Products with weights of a few bits, on the CPU: 8-bit integer dot products of blocks of 32, as GGML computes them.
//!
//! A weight is repacked once, when it is loaded, so that neighbouring outputs lie in the lanes of one register; then
//! every row count runs without shuffles. Input rows are rounded to 8 bits a number with one scale for each block.

mod activation;
mod format;
mod lines;
mod matrix;
mod panel;
mod product;
mod tile;

pub(crate) use activation::{Rounded, rounded};
pub use matrix::QuantizedMatrix;

/// Numbers that share one scale.
const BLOCK: usize = 32;
