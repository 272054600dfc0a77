//! From text files to a trained network: token shards, the objective, the optimiser, and the loop that can stop and
//! go on at any step.

mod accumulate;
mod adapt;
mod changes;
mod config;
mod distill;
mod error;
mod exercises;
mod folder;
mod learned;
mod load;
mod optimizer;
mod prompt_dropout;
mod range;
mod run;
mod state;
mod trainer;
mod trial;
mod validate;

pub use adapt::AdaptConfig;
pub use changes::Change;
pub use config::TrainConfig;
pub use distill::{DistillConfig, DistillLoss, LessonShares, Refresh, TeacherOrder};
pub use error::{Error, Result};
pub use exercises::Exercises;
pub use folder::RunFolder;
pub use load::{LayerLoad, RoutingLoad};
pub use optimizer::{MuonConfig, Optimizer, OptimizerConfig};
pub use prompt_dropout::PromptDropout;
pub use run::{Event, Outcome, Run, StepRecord, run};
pub use state::{MODEL_FILE, TRAINING_FILE, is_state};
pub use trainer::{StepOutput, Trainer};
pub use trial::{Trial, TrialLayout};
