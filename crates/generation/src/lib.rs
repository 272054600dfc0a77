//! Writing text: requests, the block loop, and the cache of what is written.
//!
//! What a caller chooses is [`Choices`]; [`Choices::resolve`] makes [`Settings`] of them, and is the same for flags, batch lines, sweeps and
//! callers of this library. [`Engine::submit`] takes requests, [`Engine::step`] does one network pass for all active ones and says what
//! happened. Everything else (a command line, a batch job, a server) drives that `step`.

mod block;
mod cache_slot;
mod capabilities;
mod compute;
mod drafts;
mod engine;
mod error;
mod event;
mod gaps;
mod meter;
pub mod openai;
mod prompt;
mod request;
mod runner;
mod scheduler;
mod score;
mod sequence;
pub mod settings;
mod step_plan;
mod stop;
mod text;
pub mod values;
mod writing;

pub use cache_slot::prefill_passes;
pub use compute::{Compute, PassCompute, RoutedCompute};
pub use drafts::DraftForm;
pub use engine::Engine;
pub use error::{Error, Result};
pub use event::{Event, Output, StopReason};
pub use gaps::GAP;
pub use prompt::{Prompt, apart, joined, shown};
pub use request::{Request, Task};
pub use score::{Scored, Scoring};
pub use settings::{Choices, NetworkKind, Settings};
