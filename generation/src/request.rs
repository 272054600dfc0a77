//! What a caller asks for.

use drdiff_attention::PlanKind;
use drdiff_solver::{CommitSchedule, Process, SamplerConfig};
use serde::{Deserialize, Serialize};

use crate::{Compute, Error, Prompt, Result};

/// Longest prompt and longest text to write or to fill, in tokens. Longer ones are almost surely a mistake.
pub(crate) const LONGEST: usize = 1 << 20;

/// Most steps for a block. More are almost surely a mistake, and would never end.
const MOST_STEPS: usize = 1 << 16;

/// How a text is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Tokens to write at most.
    pub tokens: usize,
    /// Positions that are denoised together; 1 with one step is autoregressive generation.
    pub block_size: usize,
    /// How each block is sampled.
    pub sampler: SamplerConfig,
    /// Seed of all noise; with the request's id it decides every draw.
    pub seed: u64,
    /// Ends the text where the model ends it.
    pub stop_at_end: bool,
    /// Ends the text before the first of these strings; a text to fill is never ended.
    pub stop: Vec<String>,
    /// Feeds each step the data prediction of the step before it.
    pub self_condition: bool,
    /// How closely the prompt is followed, by classifier-free guidance: 1 reads it plainly, more is closer, 0 forgets it. Any
    /// other number than 1 makes a second network call in each pass, without the prompt, if there is one.
    pub style_guidance: f64,
    /// The attention plan, if not the one that the model was trained with.
    pub attention: Option<PlanKind>,
    /// Share of the routed experts that runs, for models that have some.
    #[serde(skip_serializing_if = "Compute::is_full")]
    pub compute: Compute,
}

impl Settings {
    /// Steps that are enough for a block: 8, or 16 for more than 128 tokens, and no more than it has tokens (measured in `docs/steps.md`).
    #[must_use]
    pub fn enough_steps(block_size: usize) -> usize {
        let steps = if block_size > 128 { 16 } else { 8 };
        steps.min(block_size.max(1))
    }

    /// Refuses steps that a block could not use, so that no record tells of steps that were never taken: on the absorbing path each
    /// commits a token at least, unless doubtful ones are opened again.
    ///
    /// # Errors
    /// [`Error::IdleSteps`].
    pub fn check_steps(&self) -> Result<()> {
        let (sampler, block_size) = (&self.sampler, self.block_size);
        let steps = sampler.predictor_steps();
        // A block of nothing is refused by itself.
        let commits = sampler.process == Process::Absorbing && sampler.reabsorb.is_none() && block_size > 0;
        match commits && steps > block_size {
            true => Err(Error::IdleSteps { steps, block_size }),
            false => Ok(()),
        }
    }

    /// What suits these steps.
    #[must_use]
    pub fn suited(&self) -> Suited {
        let shared = Suited {
            commit: CommitSchedule::LeftToRight,
            temperature: 0.5,
            frequency_penalty: 0.9,
            score_temperature: 1.0,
        };
        if self.sampler.process.is_soft() {
            Suited {
                commit: CommitSchedule::Spread,
                score_temperature: 0.6,
                ..shared
            }
        } else if self.sampler.steps >= self.block_size {
            Suited {
                temperature: 0.7,
                frequency_penalty: 0.8,
                ..shared
            }
        } else {
            shared
        }
    }
}

/// How tokens are best drawn (measured in `docs/steps.md`). Those that share a step do not know of each other: their draw has to be
/// colder. Where each has a step of its own a colder draw repeats itself. Soft positions are led to likely text by a colder score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suited {
    /// Which positions are committed first.
    pub commit: CommitSchedule,
    /// Logits are divided by it.
    pub temperature: f64,
    /// Nats that a token loses for each e-fold of how often the text holds it.
    pub frequency_penalty: f64,
    /// The noise that soft predictions imply is divided by it.
    pub score_temperature: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tokens: 400,
            block_size: 16,
            sampler: SamplerConfig::default(),
            seed: 0,
            stop_at_end: true,
            stop: Vec::new(),
            self_condition: false,
            style_guidance: 1.0,
            attention: None,
            compute: Compute::default(),
        }
    }
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// Text after a prompt, block after block; [`Task::behind`] makes it of a text.
    Continue(Prompt),
    /// The `None` positions of a text whose other tokens are pinned on both sides, as one block; [`Task::within`] makes it of
    /// a text.
    Infill(Vec<Option<u32>>),
}

/// One text to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Key of the request's noise; equal ids, seeds and settings give equal texts.
    pub id: u64,
    /// What is to be written.
    pub task: Task,
    /// How.
    pub settings: Settings,
}

impl Request {
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
                self.settings.check_steps()?;
                Ok((tokens, block_size.min(tokens)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_blocks_take_more_steps_and_none_more_than_tokens() {
        let steps = [1, 4, 8, 32, 128, 256, 1024].map(Settings::enough_steps);
        assert_eq!(steps, [1, 4, 8, 8, 8, 16, 16]);
    }

    #[test]
    fn steps_that_a_block_cannot_use_are_refused() {
        let mut settings = Settings {
            block_size: 8,
            ..Settings::default()
        };
        let mut refused = |steps, process, corrections| {
            settings.sampler.steps = steps;
            settings.sampler.process = process;
            settings.sampler.corrections = corrections;
            settings.check_steps().is_err()
        };
        assert!(refused(9, Process::Absorbing, 0));
        assert!(!refused(8, Process::Absorbing, 0));
        assert!(!refused(9, Process::Absorbing, 1), "a correction commits nothing");
        assert!(!refused(32, Process::Gaussian, 0), "soft positions use any number");
    }

    #[test]
    fn tokens_that_share_a_step_are_drawn_colder_and_soft_positions_have_a_colder_score() {
        let mut settings = Settings {
            block_size: 8,
            ..Settings::default()
        };
        settings.sampler.process = Process::Absorbing;
        settings.sampler.steps = 8;
        let alone = settings.suited();
        settings.sampler.steps = 4;
        let shared = settings.suited();
        assert!(shared.temperature < alone.temperature);
        assert!(shared.frequency_penalty > alone.frequency_penalty);
        settings.sampler.steps = 8;
        settings.sampler.process = Process::Gaussian;
        let soft = settings.suited();
        assert_eq!(
            soft.temperature, shared.temperature,
            "all tokens are decided at the end"
        );
        assert!(soft.score_temperature < shared.score_temperature);
    }
}
