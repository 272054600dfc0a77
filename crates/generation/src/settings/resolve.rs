//! What suits a text where nobody chose: one function for everybody who writes.

use std::path::{Path, PathBuf};

use drdiff_model::{NetworkSpec, Pretrained, WEIGHTS, read_head};
use drdiff_solver::{CommitSchedule, DraftLength};
use serde_json::Value;

use super::{Choices, Setting, Settings};
use crate::Result;

/// What a network can write, as far as it decides what suits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NetworkKind {
    /// Blocks of any size: it predicts masked positions.
    #[default]
    Masked,
    /// One token behind another: its clean rows predict the next ones.
    Autoregressive,
}

impl NetworkKind {
    /// That of such a network.
    #[must_use]
    pub fn of(network: &NetworkSpec) -> Self {
        match network.capabilities.next_token {
            true => Self::Autoregressive,
            false => Self::Masked,
        }
    }

    /// That of the weights at a path, by their heads.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        if Pretrained::is_at(path) {
            return Self::Autoregressive;
        }
        let files = WEIGHTS.map(|name| path.join(name));
        let head = [path]
            .into_iter()
            .chain(files.iter().map(PathBuf::as_path))
            .find_map(read_head);
        head.map_or_else(Self::default, |head| Self::of(&NetworkSpec::from(&head.config)))
    }
}

/// Blocks of more tokens than this take more steps.
const LARGE: usize = 128;

/// Steps of large blocks.
const STEPS_OF_LARGE: usize = 16;

/// How tokens are best drawn where each has a step of its own: a colder draw repeats itself.
const ALONE: [f64; 2] = [0.7, 0.8];

/// The score temperature of soft positions, which are led to likely text by a colder score.
const SOFT_SCORE: f64 = 0.6;

impl Choices {
    /// The settings for a network of a kind: what is chosen, and where nothing is, what suits that (measured in `results/steps.md`). Numbers
    /// are checked when a request is submitted.
    ///
    /// Blocks take 8 steps, or 16 if they have more than 128 tokens, and no more than they have tokens. Tokens that share a step do not
    /// know of each other: their draw has to be colder than where each has a step of its own. Soft processes commit by the schedule `spread`.
    ///
    /// # Errors
    /// A value that the program cannot hold, or a solver that does not exist.
    pub fn resolve(&self, network: NetworkKind) -> Result<Settings> {
        let mut settings = Settings::default();
        if network == NetworkKind::Autoregressive {
            settings.block_size = 1;
        }
        self.put(&mut settings)?;
        let left = |name: &str| self.get(name).is_none();
        if settings.is_verified() && left("block_size") {
            settings.block_size = 1;
        }
        let sampler = &mut settings.sampler;
        if left("steps") {
            let steps = if settings.block_size > LARGE {
                STEPS_OF_LARGE
            } else {
                sampler.steps
            };
            sampler.steps = steps.min(settings.block_size.max(1));
        }
        let (soft, alone) = (sampler.process.is_soft(), sampler.steps >= settings.block_size);
        if soft && left("commit") {
            sampler.commit = CommitSchedule::Spread;
        }
        if soft && left("score_temperature") {
            sampler.score_temperature = SOFT_SCORE;
        }
        if !soft && alone && left("temperature") {
            sampler.sampling.temperature = ALONE[0];
        }
        if !soft && alone && left("frequency_penalty") {
            sampler.frequency.penalty = ALONE[1];
        }
        Ok(settings)
    }
}

/// The default of a setting in words, with what it depends on.
#[must_use]
pub fn default_of(setting: &Setting) -> String {
    let value = setting.value(&Settings::default());
    let value = match value.get("type").cloned().unwrap_or(value) {
        Value::String(name) => name,
        Value::Null => "the model's own".to_owned(),
        Value::Number(number) => number.as_f64().unwrap_or_default().to_string(),
        other => other.to_string(),
    };
    let [temperature, penalty] = ALONE;
    let apart = |other: f64| format!("{value}, or {other} where each token has a step of its own");
    match setting.name {
        "block_size" => {
            format!(
                "{value}, or 1 for models that write token by token and the schedule {}",
                CommitSchedule::Verified
            )
        }
        "draft_length" => DraftLength::Auto.to_string(),
        "steps" => format!(
            "{value}, or {STEPS_OF_LARGE} for blocks of more than {LARGE} tokens; no more than the block has tokens"
        ),
        "commit" => format!("{value}, or {} for soft processes", CommitSchedule::Spread),
        "temperature" => apart(temperature),
        "frequency_penalty" => apart(penalty),
        "score_temperature" => SOFT_SCORE.to_string(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use drdiff_solver::{Process, SamplerConfig};

    use super::*;

    fn resolved(choices: &Choices) -> Settings {
        choices.resolve(NetworkKind::Masked).unwrap()
    }

    #[test]
    fn the_defaults_are_what_suits_when_nothing_is_chosen() {
        assert_eq!(resolved(&Choices::default()), Settings::default());
        let alone = Choices::default().resolve(NetworkKind::Autoregressive).unwrap();
        assert_eq!((alone.block_size, alone.sampler.steps), (1, 1));
        assert_eq!(alone, resolved(&Choices::default().with("block_size", 1)));
    }

    #[test]
    fn larger_blocks_take_more_steps_and_none_more_than_tokens() {
        let steps = |size: usize| resolved(&Choices::default().with("block_size", size)).sampler.steps;
        assert_eq!([1, 4, 8, 32, 128, 256, 1024].map(steps), [1, 4, 8, 8, 8, 16, 16]);
        let chosen = Choices::default().with("block_size", 1024).with("steps", 8);
        assert_eq!(resolved(&chosen).sampler.steps, 8);
    }

    #[test]
    fn tokens_that_share_a_step_are_drawn_colder_and_soft_positions_have_a_colder_score() {
        let eight = Choices::default().with("block_size", 8);
        let (alone, shared) = (
            resolved(&eight).sampler,
            resolved(&eight.clone().with("steps", 4)).sampler,
        );
        assert!(shared.sampling.temperature < alone.sampling.temperature);
        assert!(shared.frequency.penalty > alone.frequency.penalty);
        let soft = resolved(&eight.with("process", "gaussian")).sampler;
        assert_eq!(soft.sampling, shared.sampling, "all tokens are decided at the end");
        assert!(soft.score_temperature < shared.score_temperature);
        assert_eq!(soft.commit, CommitSchedule::Spread);
    }

    #[test]
    fn drafts_are_checked_as_blocks_of_one_are_written() {
        let drafted = Choices::default().with("commit", "verified");
        for network in [NetworkKind::Masked, NetworkKind::Autoregressive] {
            let settings = drafted.resolve(network).unwrap();
            assert!(settings.check_verified().is_ok());
            let mut alone = Choices::default().with("block_size", 1).resolve(network).unwrap();
            alone.sampler.commit = CommitSchedule::Verified;
            assert_eq!(settings, alone);
        }
        assert!(
            resolved(&drafted.clone().with("block_size", 4))
                .check_verified()
                .is_err()
        );
        assert!(resolved(&drafted.with("process", "gaussian")).check_verified().is_err());
    }

    #[test]
    fn what_is_chosen_stays() {
        let own = SamplerConfig {
            process: Process::Hybrid,
            ..SamplerConfig::plain()
        };
        let settings = Settings {
            sampler: own,
            ..Settings::default()
        };
        assert_eq!(resolved(&Choices::all_of(&settings)), settings);
    }
}
