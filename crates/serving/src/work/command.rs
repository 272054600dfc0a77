//! What handlers tell the engine's thread, and what it tells them.

use std::sync::mpsc;
use std::time::Instant;

use drdiff_generation::{Choices, Output, Request, Scored};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::Permit;
use crate::error::{ApiError, ApiResult};

/// A command for the engine's thread.
pub(crate) enum Command {
    /// Texts to write, in this order.
    Submit(Vec<Job>),
    /// A text to score.
    Score(ScoreJob),
    /// The client has gone.
    Cancel(u64),
}

/// A text to write, and who waits for it.
pub(crate) struct Job {
    pub(crate) client: u64,
    /// Its number among the client's texts.
    pub(crate) index: usize,
    pub(crate) request: Request,
    /// What was chosen, which decides whether a failure is the client's.
    pub(crate) choices: Choices,
    pub(crate) updates: UnboundedSender<(usize, Update)>,
    /// Its place, which is free again when the job is dropped.
    pub(crate) _place: Permit,
    /// When the request came.
    pub(crate) came: Instant,
}

/// A text to score.
pub(crate) struct ScoreJob {
    pub(crate) client: u64,
    pub(crate) ids: Vec<u32>,
    pub(crate) answer: oneshot::Sender<ApiResult<Vec<Scored>>>,
    /// When the request came.
    pub(crate) came: Instant,
}

/// Something happened to a text.
#[derive(Debug)]
pub(crate) enum Update {
    /// So many texts wait before it.
    Waiting(usize),
    /// It has a slot, after so many seconds.
    Started(f64),
    /// A pass denoised its block.
    Passed(Passed),
    /// A block is written.
    Written(Written),
    /// The text is complete.
    Finished(Box<Finished>),
    /// It cannot be written.
    Failed(ApiError),
}

/// A pass, for those who are shown provisional text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Passed {
    pub(crate) block: usize,
    pub(crate) step: usize,
    pub(crate) nfe: usize,
    /// Index of the block's first token in the text.
    pub(crate) start: usize,
    /// Position in the block, token, probability, and whether it is committed.
    pub(crate) set: Vec<(usize, u32, f64, bool)>,
    pub(crate) reabsorbed: Vec<usize>,
}

/// A block that is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written {
    pub(crate) block: usize,
    /// Passes and steps that it took.
    pub(crate) nfe: usize,
    pub(crate) steps: usize,
    /// The text that is certain now.
    pub(crate) text: String,
    /// Index of its first token in the text.
    pub(crate) from: usize,
    pub(crate) ids: Vec<u32>,
    /// The probability of each when it was committed; none for tokens that were given.
    pub(crate) probabilities: Vec<Option<f64>>,
    pub(crate) seconds: f64,
}

/// A complete text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finished {
    pub(crate) output: Output,
    pub(crate) nfe_by_block: Vec<usize>,
    pub(crate) probabilities: Vec<Option<f64>>,
    pub(crate) seconds: Seconds,
}

/// Times of a text from its request on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Seconds {
    pub(crate) queue: f64,
    pub(crate) first_block: f64,
    pub(crate) total: f64,
}

/// Somebody who waits for texts. When this is dropped, for whatever reason, the texts are given up.
pub(crate) struct Client {
    pub(crate) id: u64,
    commands: mpsc::Sender<Command>,
}

impl Client {
    pub(crate) fn new(id: u64, commands: mpsc::Sender<Command>) -> Self {
        Self { id, commands }
    }

    /// Sends a command of this client's.
    pub(crate) fn send(&self, command: Command) -> ApiResult<()> {
        self.commands.send(command).map_err(|_| ApiError::draining())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // An engine that has ended has nothing to give up.
        let _ = self.commands.send(Command::Cancel(self.id));
    }
}
