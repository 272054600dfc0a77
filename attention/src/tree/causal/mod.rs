//! The tree where text comes block after block: nobody sees what comes later.
//!
//! The tree of a whole text lets all positions of a node share their weights, which binds those that come first to
//! those that come last. Here weights are shared on the side of the keys alone. A query reads the lowest nodes around its
//! block position by position; everything before is cut into the fewest whole nodes of the tree, and the positions of
//! one of them weigh equally. Of all weights of that form whose rows sum to one, each row takes those that diverge least
//! from its softmax of all pairs: a node c weighs as much as `|c|` positions with the mean of its keys and values would,
//!
//! ```text
//! w_ij = exp(s_ij) / Z,   W_ic = |c| exp(q_i · k̄_c / √D) / Z
//! ```
//!
//! since `Σ_j∈c (W/|c|) log(W/|c| / p_j)` depends on `p` by the mean of its logarithms only. That is softmax over positions
//! and means, so the kernel of tiles serves each level, and log-sum-exps join them. The tying is that of Amizadeh et
//! al. (arXiv 2509.15448) without its queries' half.

mod means;
mod op;
mod plans;
mod rule;

pub(crate) use means::means;
pub use op::causal_attention;
pub(crate) use op::{Nodes, attend};
pub use plans::CausalTree;
pub(crate) use plans::Queries;
pub(crate) use rule::{CausalRule, Seats};
