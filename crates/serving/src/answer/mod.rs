//! Answers, whole and streamed.

mod body;
mod frame;
mod logprobs;
mod merge;
mod plain;
mod report;
mod settled;
mod stream;
mod tally;

use drdiff_generation::Scored;

use crate::ask::{Route, Text};

pub(crate) use plain::plain;
pub(crate) use stream::stream;
pub(crate) use tally::Tally;

/// What all parts of an answer say.
pub(crate) struct Sheet {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) route: Route,
    pub(crate) texts: Vec<Text>,
    /// Scores of the prompt of each text, where they were asked for: of all its tokens but the first.
    pub(crate) scores: Vec<Vec<Scored>>,
    pub(crate) logprobs: bool,
    pub(crate) note: Option<String>,
    pub(crate) ignored: Vec<String>,
}
