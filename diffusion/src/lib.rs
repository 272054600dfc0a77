//! Noise schedules, the per-position state, and what training draws from them. No network lives here.
//!
//! Every position of a text has its own signal-to-noise ratio `s` (see [`Level`]): 0 is an absorbed position, a
//! finite value carries soft evidence, infinity is an anchor. All arithmetic on levels is f64.

mod bound;
mod error;
mod level;
mod mask_order;
mod masked_share;
mod mixture;
mod schedule;
mod state;

pub use bound::{BoundAccumulator, MaskPlan};
pub use error::{Error, Result};
pub use level::Level;
pub use mask_order::{MaskOrder, spread, take_spread};
pub use masked_share::{MaskedShare, choose, stratified};
pub use mixture::{LevelMixture, Levels, SoftScope, Weighting};
pub use schedule::{Cosine, Gumbel, Linear, NoiseSchedule, ScheduleConfig, Sqrt};
pub use state::{Vp, evidence, evidence_from_latent, evidence_scale, latent_from_evidence, posterior};
