//! For tests only: one tolerance rule, numeric gradients, and inputs that are the same everywhere.
//!
//! The rule is relative root-mean-square error. Nothing here is tuned for one test; loosening a constant needs a line
//! in the changelog.

mod chi_squared;
mod close;
mod gradient;
mod inputs;
mod limited;
mod named;
mod stories;

pub use chi_squared::{against_probabilities, between_samples};
pub use close::{F32_TOLERANCE, assert_close, assert_close_within, assert_no_worse, relative_rms};
pub use gradient::{assert_all_learn, assert_gradient, directional};
pub use inputs::{Inputs, tensor, values};
pub use limited::{cases, limited};
pub use named::named;
pub use stories::{Stories, line, names, story};
