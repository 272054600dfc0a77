//! From text files to a trained network: token shards, the objective, the optimiser, and the loop that can stop and
//! go on at any step.

mod config;
pub mod data;
mod error;
mod objective;
mod optimizer;
mod run;
mod state;
mod trainer;
mod validate;

pub use config::{OptimizerConfig, TrainConfig};
pub use error::{Error, Result};
pub use objective::{Corrupted, Layout, loss};
pub use optimizer::AdamW;
pub use run::{Event, Outcome, Run, StepRecord, run};
pub use state::{MODEL_FILE, TRAINING_FILE};
pub use trainer::{StepOutput, Trainer};
pub use validate::BlockBound;
