//! Jobs over many requests: files that survive being killed, and what reads and writes them.
//!
//! A [`Store`] is a shard's place in the output folder, an [`Input`] reads requests one by one, and a [`Job`] drives an
//! [`Engine`](drdiff_generation::Engine) with them. What has become of each request is in the output itself, so a job that was
//! ended at any moment goes on where it was. Noise is keyed by a request's id alone.

mod error;
mod failures;
mod folder;
mod form;
mod id;
mod input;
mod journal;
mod ledger;
mod manifest;
mod merge;
mod openai;
mod outline;
mod record;
mod run;
mod shard;
mod status;
mod store;
mod verify;
mod wish;

pub use error::{BatchError, Result};
pub use folder::{Done, belongs_to_job};
pub use id::Key;
pub use input::{Input, InputFormat};
pub use journal::Journal;
pub use manifest::{Manifest, OutputFormat};
pub use merge::merge;
pub use run::{Job, Tally};
pub use shard::Shard;
pub use status::{Progress, ShardStatus, status};
pub use store::{Store, Survey};
pub use verify::{Verified, verify};
