//! The same prompts and the same noise under many settings: how few steps are enough?
//!
//! A [`SweepConfig`] says what to combine, a [`Plan`] lists the cells, a [`Runner`] writes their texts.

mod axes;
mod cell;
mod config;
mod error;
mod plan;
mod runner;
mod text;

pub use axes::{CommitName, Grid, Row};
pub use cell::{Cell, Setting, varied};
pub(crate) use cell::{label, short};
pub use config::SweepConfig;
pub use error::{Result, SweepError};
pub use plan::{BUNDLED, LeftOut, Plan};
pub use runner::{Outcome, Progress, Runner, TEXTS};
pub use text::{MadeBy, ModelId, Provenance, TextRecord};
