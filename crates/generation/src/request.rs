//! What a caller asks for.

use drdiff_model::NetworkSpec;

use crate::capabilities::check;
use crate::{Error, Prompt, Result, Settings};

/// Longest prompt and longest text to write or to fill, in tokens. Longer ones are almost surely a mistake.
pub(crate) const LONGEST: usize = 1 << 20;

/// Most steps for a block. More are almost surely a mistake, and would never end.
pub(crate) const MOST_STEPS: usize = 1 << 16;

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// Text after a prompt, block after block; [`Task::behind`] makes it of a text.
    Continue(Prompt),
    /// The `None` positions of a text whose other tokens are pinned on both sides, as one block; [`Task::within`] makes it of
    /// a text.
    Infill(Vec<Option<u32>>),
}

impl Task {
    /// Tokens that are given, before or around what is written.
    #[must_use]
    pub fn given_tokens(&self) -> usize {
        match self {
            Self::Continue(prompt) => prompt.len(),
            Self::Infill(canvas) => canvas.iter().flatten().count(),
        }
    }
}

/// One text to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What events call it; requests that are at work at the same time have different ids.
    pub id: u64,
    /// Key of its noise: equal keys, seeds and settings give equal texts, whatever the requests are called.
    pub noise: u64,
    /// What is to be written.
    pub task: Task,
    /// How.
    pub settings: Settings,
    /// Whether events of its passes tell the predictions of positions that stay open, which otherwise are not made where
    /// nothing depends on them.
    pub shows_predictions: bool,
}

impl Request {
    /// A request whose id is the key of its noise as well.
    #[must_use]
    pub fn new(id: u64, task: Task, settings: Settings) -> Self {
        Self {
            id,
            noise: id,
            task,
            settings,
            shows_predictions: false,
        }
    }

    /// Refuses what a network cannot do, as [`Engine::submit`](crate::Engine::submit) does, without an engine. The memory for the
    /// text is not asked for.
    ///
    /// # Errors
    /// If its settings or lengths are impossible for the network.
    pub fn check_for(&self, network: &NetworkSpec) -> Result<()> {
        check(self, network).map(drop)
    }

    /// Checks the request against a model of `context` positions and `vocab` tokens, and returns how many tokens it
    /// will write at most and the size of its blocks.
    pub(crate) fn check(&self, context: usize, vocab: usize) -> Result<(usize, usize)> {
        self.settings.sampler.validate()?;
        if !self.settings.style_guidance.is_finite() {
            return Err(Error::StyleGuidance(self.settings.style_guidance));
        }
        if self.settings.stop.iter().any(String::is_empty) {
            return Err(Error::EmptyStop);
        }
        let steps = self.settings.sampler.steps;
        if steps > MOST_STEPS {
            return Err(Error::Length {
                what: "a number of steps",
                asked: steps,
                problem: format!("is larger than the limit of {MOST_STEPS}"),
                remedy: "ask for fewer".to_owned(),
            });
        }
        let zero = |what| Error::Length {
            what,
            asked: 0,
            problem: "writes nothing".to_owned(),
            remedy: "ask for at least 1".to_owned(),
        };
        match &self.task {
            Task::Infill(_) if self.settings.is_verified() => Err(Error::Verified {
                problem: "goes on behind a text and fills no gaps",
                remedy: "choose another schedule",
            }),
            Task::Infill(canvas) => {
                let open = canvas.iter().filter(|token| token.is_none()).count();
                if open == 0 {
                    return Err(zero("a gap length"));
                }
                if canvas.len() > context {
                    return Err(Error::Length {
                        what: "a text to fill",
                        asked: canvas.len(),
                        problem: format!("tokens is longer than the {context} that the model sees at once"),
                        remedy: "fill its gaps part by part".to_owned(),
                    });
                }
                Ok((open, canvas.len()))
            }
            Task::Continue(prompt) => {
                // Ids from the vocabulary's end on would be read as absorbed or soft positions.
                if let Some(token) = prompt.iter().copied().find(|token| *token as usize >= vocab) {
                    return Err(Error::UnknownToken { token, vocab });
                }
                let Settings { tokens, block_size, .. } = self.settings;
                if tokens == 0 {
                    return Err(zero("a number of tokens"));
                }
                if block_size == 0 {
                    return Err(zero("a block size"));
                }
                if tokens > LONGEST {
                    return Err(Error::Length {
                        what: "a number of tokens",
                        asked: tokens,
                        problem: format!("is larger than the limit of {LONGEST}"),
                        remedy: "ask for fewer, and go on from the end of that text".to_owned(),
                    });
                }
                if prompt.len() > LONGEST {
                    return Err(Error::Length {
                        what: "a prompt",
                        asked: prompt.len(),
                        problem: format!("tokens is longer than the limit of {LONGEST}"),
                        remedy: "give its last part".to_owned(),
                    });
                }
                if block_size > context {
                    return Err(Error::Length {
                        what: "a block",
                        asked: block_size,
                        problem: format!("positions is larger than the {context} that the model allows"),
                        remedy: format!("choose a block size of at most {context}"),
                    });
                }
                self.settings.check_verified()?;
                self.settings.check_steps()?;
                Ok((tokens, block_size.min(tokens)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use drdiff_solver::Process;

    use super::*;

    #[test]
    fn steps_that_a_block_cannot_use_are_refused() {
        let mut settings = Settings {
            block_size: 8,
            ..Settings::default()
        };
        let mut refused = |steps, process| {
            settings.sampler.steps = steps;
            settings.sampler.process = process;
            settings.check_steps().is_err()
        };
        assert!(refused(9, Process::Absorbing));
        assert!(!refused(8, Process::Absorbing));
        assert!(!refused(32, Process::Gaussian), "soft positions use any number");
    }
}
