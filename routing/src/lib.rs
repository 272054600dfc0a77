//! Which part of the network runs for which token: routers, experts and the account of what was spent.
//!
//! The feed-forward half of a block is one always-on shared expert and, in layers that have them, routed experts.
//! A [`Router`] reads a detached hidden state and returns a [`Routing`]; the layer runs what the routing says and the
//! [`ComputeReport`] counts the floating-point operations that were really spent.

mod activation;
mod config;
mod error;
mod expert;
mod expert_choice;
mod experts;
mod feed_forward;
mod grouped;
mod groups;
mod head;
mod last;
mod placed;
mod read;
mod report;
mod router;
mod token_choice;

pub use activation::Activation;
pub use config::{Budget, CapacitySchedule, Cut, RouterKind, RoutingConfig};
pub use error::{Error, Result};
pub use expert::Expert;
pub use feed_forward::{FeedForward, Shape};
pub use grouped::{grouped_linear, weighted};
pub use groups::Groups;
pub use last::LastEntropy;
pub use placed::Placed;
pub use read::Read;
pub use report::{ComputeReport, LayerCompute};
pub use router::{Chosen, Router, Routing, router};
