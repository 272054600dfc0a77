//! The engine's thread: it alone owns the engine, and takes commands between passes.

mod active;
mod admission;
mod command;
mod queue;
mod worker;

pub(crate) use admission::{Admission, Permit};
pub(crate) use command::{Client, Command, Finished, Job, Passed, ScoreJob, Seconds, Update, Written};
pub use worker::{Ended, Worker};
