//! Whether a model finds what was said once in a long text, and whether retrieval chose the chunks that say it.
//!
//! The two are reported apart: a model that is shown the right chunk may still read it wrong.

mod hidden;
mod whole;

use std::ops::ControlFlow;

use drdiff_attention::retrieval::CHUNK;
use drdiff_data::Tokenizer;
use drdiff_data::{DataError, haystack};
use drdiff_generation::{Choices, Engine, Event, NetworkKind, Output, Request, Task};
use serde::Serialize;

pub use whole::{WholeTask, recall_whole};

/// Where what is asked for stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Before the question.
    Left,
    /// Behind it.
    Right,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct RecallTask {
    /// Bytes of a prompt.
    pub length: usize,
    /// Where the statement stands, from 0 to 1.
    pub depth: f64,
    /// Prompts.
    pub samples: usize,
    /// Decides the prompts.
    pub seed: u64,
}

/// What was found in the prompts of one task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recalled {
    /// Bytes of a prompt.
    pub length: usize,
    /// Where the statement stands, from 0 for the beginning of the text to 1 for its end.
    pub depth: f64,
    /// To which side of the question that is.
    pub side: Side,
    /// Questions.
    pub samples: usize,
    /// Answers without a wrong token.
    pub right: usize,
    /// Tokens of all answers, and those of them that are right.
    pub tokens: usize,
    /// See `tokens`.
    pub right_tokens: usize,
    /// Questions for which some layer chose all chunks that say the value; `None` without a layer that retrieves.
    pub retrieved: Option<usize>,
    /// Questions whose value can be retrieved: what the band reads is not.
    pub retrievable: usize,
}

impl Recalled {
    fn none(length: usize, depth: f64, side: Side) -> Self {
        Self {
            length,
            depth,
            side,
            samples: 0,
            right: 0,
            tokens: 0,
            right_tokens: 0,
            retrieved: None,
            retrievable: 0,
        }
    }

    /// Counts one question: what was answered and is right, and what each layer chose of the chunks `said` that say it.
    fn count(&mut self, answers: impl Iterator<Item = bool>, said: &[usize], layers: &[Vec<usize>], retrievable: bool) {
        let (mut tokens, mut right) = (0, 0);
        for answer in answers {
            (tokens, right) = (tokens + 1, right + usize::from(answer));
        }
        self.samples += 1;
        self.tokens += tokens;
        self.right_tokens += right;
        self.right += usize::from(right == tokens);
        if !layers.is_empty() {
            let has = |layer: &Vec<usize>| said.iter().all(|chunk| layer.contains(chunk));
            let retrieved = self.retrieved.get_or_insert(0);
            *retrieved += usize::from(retrievable && layers.iter().any(has));
            self.retrievable += usize::from(retrievable);
        }
    }
}

/// What goes wrong while it is measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecallError {
    /// A prompt that cannot be made.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A prompt or an answer that cannot be read.
    #[error(transparent)]
    Tokenizer(#[from] drdiff_data::TokenizerError),
    /// Writing failed.
    #[error(transparent)]
    Generation(Box<drdiff_generation::Error>),
    /// A text could not be read.
    #[error(transparent)]
    Model(#[from] drdiff_model::Error),
    /// A plan of attention could not be made.
    #[error(transparent)]
    Attention(#[from] drdiff_attention::Error),
    /// An operation failed.
    #[error(transparent)]
    Kernels(#[from] drdiff_kernels::Error),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl From<drdiff_generation::Error> for RecallError {
    fn from(error: drdiff_generation::Error) -> Self {
        Self::Generation(Box::new(error))
    }
}

/// A prompt in tokens.
struct Prompt {
    ids: Vec<u32>,
    answer: Vec<u32>,
    /// Chunks that hold the statement.
    chunks: Vec<usize>,
}

/// Asks all prompts of `task` with `choices`, whose lengths are those of the answers; `None` if `proceed` breaks off
/// before a prompt.
///
/// # Errors
/// If a prompt cannot be made, or writing fails.
pub fn recall(
    engine: &mut Engine,
    task: &RecallTask,
    choices: &Choices,
    proceed: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Option<Recalled>, RecallError> {
    let mut found = Recalled::none(task.length, task.depth, Side::Left);
    for index in 0..task.samples as u64 {
        if proceed().is_break() {
            return Ok(None);
        }
        let prompt = Prompt::new(engine.tokenizer(), task, index)?;
        let (output, layers) = write(engine, &prompt, choices, index)?;
        let same = output.ids.iter().zip(&prompt.answer).map(|(a, b)| a == b);
        found.count(same, &prompt.chunks, &layers, true);
    }
    Ok(Some(found))
}

impl Prompt {
    fn new(tokenizer: &Tokenizer, task: &RecallTask, index: u64) -> Result<Self, RecallError> {
        let hidden = haystack(task.seed, index, task.length, task.depth)?;
        let mut ids = Vec::new();
        let mut ends = Vec::with_capacity(hidden.parts.len());
        for part in &hidden.parts {
            ids.extend(tokenizer.encode(part)?);
            ends.push(ids.len());
        }
        // From the first token of the statement to its last.
        let (first, last) = (ends[0], ends[1] - 1);
        Ok(Self {
            ids,
            answer: tokenizer.encode(&hidden.answer)?,
            chunks: (first / CHUNK..=last / CHUNK).collect(),
        })
    }
}

/// The answer, and what each layer retrieved for it in its first pass.
fn write(
    engine: &mut Engine,
    prompt: &Prompt,
    choices: &Choices,
    id: u64,
) -> Result<(Output, Vec<Vec<usize>>), RecallError> {
    let length = prompt.answer.len();
    let one_block = choices
        .clone()
        .with("tokens", length)
        .with("block_size", length)
        .with("stop_at_end", false);
    engine.submit(Request {
        id,
        task: Task::Continue(prompt.ids.clone().into()),
        settings: one_block.resolve(NetworkKind::of(engine.network().spec()))?,
    })?;
    let mut layers = None;
    loop {
        for event in engine.step()? {
            match event {
                Event::Pass { retrieved, .. } => {
                    layers.get_or_insert(retrieved);
                }
                Event::Finished { output, .. } => return Ok((output, layers.unwrap_or_default())),
                Event::Failed { error, .. } => return Err(error.into()),
                Event::BlockCommitted { .. } => {}
            }
        }
    }
}
