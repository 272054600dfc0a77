//! From predictions to text: time grids, DPM-Solver++, commit schedules, guidance. No network lives here.
//!
//! A block of text is a [`BlockRun`]: a pure state machine that says what the network must see ([`BlockState`]), takes
//! a [`Prediction`] and moves on. A caller that batches requests advances many runs with one network call; [`drive`]
//! does so for any [`Denoiser`]. All level and solver arithmetic is f64, and all noise is keyed by request, step and
//! position, so batch mates never matter.

pub mod absorbing;
mod commit;
mod config;
mod denoiser;
mod distribution;
pub mod dpm;
mod error;
mod family;
mod frequency;
mod grid;
mod guidance;
mod names;
mod nucleus;
mod prompt_guidance;
mod report;
mod run;
mod sampling;
mod stretches;
mod table;
mod verified;

pub use absorbing::Pace;
pub use commit::{Candidate, CommitSchedule};
pub use config::{Process, SamplerConfig};
pub use denoiser::{Denoiser, Prediction, drive};
pub use dpm::{History, SolverConfig};
pub use error::{Error, Result};
pub use family::{SolverName, choose_solver};
pub use frequency::FrequencyConfig;
pub use grid::{GridConfig, Spacing, TimeGrid};
pub use guidance::{GuidanceConfig, ReabsorbConfig};
pub use prompt_guidance::guide;
pub use report::{Choice, StepReport};
pub use run::{BlockRun, BlockState};
pub use sampling::{Draw, SamplingConfig, draw};
pub use table::Table;
pub use verified::{Checked, DraftCounts, DraftLength, VerifiedRun};
