//! The same prompts and the same noise under many settings: how few steps are enough?
//!
//! A [`SweepConfig`] says what to combine, a [`Plan`] lists the cells, a [`Runner`] writes their texts, a [`Judge`](drdiff_evaluation::Judge) reads
//! them, and [`CellResult`]s become a table and a report.

mod axes;
mod cell;
mod config;
mod error;
mod human;
mod judged;
mod output;
mod plan;
mod reference;
mod results;
mod runner;
mod text;

pub use axes::{Grid, Row};
pub use cell::{Cell, Setting, descriptions, varied};
pub(crate) use cell::{differing, label, short};
pub use config::SweepConfig;
pub use error::{Result, SweepError};
pub use human::{distances, human_texts};
pub use judged::{JUDGED, Judged};
pub use output::{REPORT, write};
pub use plan::{BUNDLED, LeftOut, Plan};
pub use reference::reference;
pub use results::{CellResult, Place, table};
pub use runner::{Outcome, Progress, Runner, TEXTS, outputs};
pub use text::{MadeBy, ModelId, Provenance, TextRecord};
