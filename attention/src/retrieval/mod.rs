//! Attention to chunks of the text that are found by what they hold.
//!
//! The text is cut into chunks of 64 positions, the key tiles of the kernel. Every chunk has a landmark; rows that stand
//! together choose the few chunks whose landmarks fit them best, attend to each on its own, and add the results with
//! weights that come from the same scores. What is not chosen cannot dilute what is, however long the text.
//!
//! Hierarchical Sparse Attention: Hu et al., arXiv 2504.16795, and "HSA-UltraLong", arXiv 2511.23319. There each token
//! of a causal model chooses; here a [`Unit`] of rows does, which keeps the tiles dense and has a meaning for positions
//! that do not hold a token yet.

mod attend;
mod choices;
mod chunks;
mod config;
mod cost;
mod encoder;
mod layer;
mod lists;
mod select;
mod units;

pub use attend::{Queries, attend};
pub use choices::Choices;
pub use chunks::Chunks;
pub use config::Retrieval;
pub use encoder::ChunkEncoder;
pub use layer::{Field, RetrievalAttention};
pub use lists::Lists;
pub use select::{Selection, select};
pub use units::{Unit, Units, band};

/// Positions of a chunk: a key tile.
pub const CHUNK: usize = drdiff_kernels::TILE;
