//! What clients ask for: bodies become requests of the engine.

mod chat;
mod completion;
mod fields;
mod stream;
mod tasks;

use std::time::Duration;

use drdiff_data::Message;
use drdiff_generation::Choices;

pub(crate) use chat::chat;
pub(crate) use completion::{completion, ids};
pub(crate) use tasks::{Place, Text, texts};

/// The route that a body came by, which decides the form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Completions,
    Chat,
}

impl Route {
    /// Its path.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Completions => "/v1/completions",
            Self::Chat => "/v1/chat/completions",
        }
    }
}

/// A text to go on from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Given {
    Text(String),
    Ids(Vec<u32>),
    Messages(Vec<Message>),
}

/// How an answer is streamed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Streamed {
    /// Whether a last chunk tells the usage.
    pub(crate) usage: bool,
    /// Least time between two events with provisional text, if it is wanted.
    pub(crate) steps: Option<Duration>,
}

/// A body that was read. Nothing of it is tokenized yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) route: Route,
    pub(crate) given: Vec<Given>,
    /// The text behind the gap that is to be filled.
    pub(crate) suffix: Option<String>,
    /// Whether the texts have gaps of their own.
    pub(crate) gaps: bool,
    /// Texts for each prompt.
    pub(crate) n: usize,
    pub(crate) choices: Choices,
    pub(crate) stream: Option<Streamed>,
    pub(crate) echo: bool,
    pub(crate) logprobs: bool,
    /// Fields without a meaning here.
    pub(crate) ignored: Vec<String>,
}

impl Wanted {
    /// How many texts it asks for.
    pub(crate) fn texts(&self) -> usize {
        self.given.len().saturating_mul(self.n)
    }
}
