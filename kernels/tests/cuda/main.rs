//! The CUDA forms against the CPU forms, which their own tests hold to f64 twins. Needs a GPU.

#![cfg(feature = "cuda")]
#![allow(
    clippy::unwrap_used,
    reason = "a test may be blunt, and so may what it shares with others"
)]

mod attention;
mod choice;
mod compare;
mod heads;
mod merge;
mod rows;
mod taped;
mod training;
