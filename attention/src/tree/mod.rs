//! Attention over a tree of positions, in time linear in their number.
//!
//! Pairs of positions below two siblings of the tree share one weight; of all weights of that form whose rows sum to
//! one, these diverge least from the softmax of all pairs (Amizadeh et al., "Hierarchical Self-Attention: Generalizing
//! Neural Attention Mechanics to Multi-Scale Problems", 2025, arXiv 2509.15448). They have a closed form: one sweep up
//! the tree, one down. A node of the lowest level is exact attention among its positions; above, nodes attend to their
//! siblings by the means of their queries, keys and values.
//!
//! Such a tree reads a text to both sides. Text that comes block after block has a form of its own ([`CausalTree`]).

mod backward;
mod causal;
mod constants;
mod forward;
mod op;
mod rows;
mod shape;

pub(crate) use causal::{CausalRule, Nodes, Queries, Seats, attend, means};
pub use causal::{CausalTree, causal_attention};
pub use op::{TreePass, tree_attention};
pub use shape::Tree;
pub(crate) use shape::check;
