//! Which open positions become anchors next.

use drdiff_diffusion::spread;
use drdiff_noise::{Noise, Purpose};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, require};
use crate::sampling::Draw;
use crate::stretches::heads;

/// The order in which positions are committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum CommitSchedule {
    /// Uniformly random: the ancestral sampler of masked diffusion (MDLM, arXiv 2406.07524).
    Random,
    /// Far from each other: every `m / count`-th of the `m` open positions, from a random first one on; one at a time this is
    /// `Random`. Tokens of one step are drawn without knowing of each other, which costs neighbours most (Dilated Unmasking
    /// Scheduler, arXiv 2506.19037, whose fixed pattern this makes random, by systematic sampling: in each step every
    /// open position is as likely as any other).
    #[default]
    Spread,
    /// From left to right: with one position a step the order of autoregressive models, in which each token knows all before
    /// it. With several, the block falls into as many stretches of equal length, and each is written from its left: positions of one
    /// step are as far apart as under `Spread`. Where steps do not divide the block, the shortest stretches wait now and then.
    LeftToRight,
    /// Largest probability of the drawn token first (MaskGIT, arXiv 2202.04200; LLaDA, arXiv 2502.09992).
    Confidence,
    /// Largest difference between the two best probabilities first (Kim et al., arXiv 2502.06768).
    Margin,
    /// Least entropy first (Dream, arXiv 2508.15487).
    Entropy,
    /// Adaptive: the largest set of least-entropy positions whose summed entropy without its largest member stays
    /// within `bound` nats, which bounds the error of drawing them independently (EB-sampler, arXiv 2505.24857).
    /// Never fewer than an even pace asks for, so a block may end early but never late.
    EntropyBound {
        /// Nats, 0 or more. 0 commits one position at a time plus all that are certain.
        bound: f64,
    },
    /// Adaptive: every position whose drawn token is more probable than `above` (Fast-dLLM, arXiv 2505.22618), most
    /// probable first. Never fewer than an even pace asks for.
    Threshold {
        /// Probability, in [0, 1]. 1 keeps the even pace.
        above: f64,
    },
    /// Self-speculative decoding: the text is not cut into blocks; masked positions are drafts, which the network checks token by token
    /// ([`VerifiedRun`](crate::VerifiedRun)). Within a block it is `LeftToRight`.
    Verified,
}

/// `random`, `spread`, `left-to-right`, `confidence`, `margin`, `entropy`, `entropy-bound` (0.5 nats), `entropy-bound:NATS`, `threshold` (0.9),
/// `threshold:PROBABILITY` or `verified`.
impl std::str::FromStr for CommitSchedule {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let unknown = || {
            Error::UnknownName {
            kind: "commit schedule",
            name: name.to_owned(),
            known: "random, spread, left-to-right, confidence, margin, entropy, entropy-bound, entropy-bound:NATS, threshold, threshold:PROBABILITY, verified"
                .to_owned(),
        }
        };
        let number = |text: &str| text.parse().map_err(|_| unknown());
        let schedule = match name {
            "random" => Self::Random,
            "spread" => Self::Spread,
            "left-to-right" => Self::LeftToRight,
            "confidence" => Self::Confidence,
            "margin" => Self::Margin,
            "entropy" => Self::Entropy,
            "entropy-bound" => Self::EntropyBound { bound: 0.5 },
            "threshold" => Self::Threshold { above: 0.9 },
            "verified" => Self::Verified,
            _ => match name.split_once(':').ok_or_else(unknown)? {
                ("entropy-bound", nats) => Self::EntropyBound { bound: number(nats)? },
                ("threshold", probability) => Self::Threshold {
                    above: number(probability)?,
                },
                _ => return Err(unknown()),
            },
        };
        schedule.validate()?;
        Ok(schedule)
    }
}

impl std::fmt::Display for CommitSchedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Random => f.pad("random"),
            Self::Spread => f.pad("spread"),
            Self::LeftToRight => f.pad("left-to-right"),
            Self::Confidence => f.pad("confidence"),
            Self::Margin => f.pad("margin"),
            Self::Entropy => f.pad("entropy"),
            Self::EntropyBound { bound } => f.pad(&format!("entropy-bound:{bound}")),
            Self::Threshold { above } => f.pad(&format!("threshold:{above}")),
            Self::Verified => f.pad("verified"),
        }
    }
}

/// One open position that could be committed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Position in the block.
    pub position: usize,
    /// The token drawn for it.
    pub draw: Draw,
}

impl CommitSchedule {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`crate::Error::OutOfRange`].
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::EntropyBound { bound } => require(bound >= 0.0, "entropy bound", bound, "0 or more"),
            Self::Threshold { above } => {
                let unit = (0.0..=1.0).contains(&above);
                require(unit, "commit threshold", above, "between 0 and 1")
            }
            _ => Ok(()),
        }
    }

    /// The positions to commit now, ascending: `count` of them (all when fewer are open), or more under the
    /// adaptive schedules. Ties go to the earlier position. What is random is keyed by `step` and by
    /// the absolute position, `first_position` plus the position in the block. `candidates` ascend by position.
    #[must_use]
    pub fn select(
        &self,
        candidates: &[Candidate],
        count: usize,
        noise: &Noise,
        step: u64,
        first_position: u64,
    ) -> Vec<usize> {
        if self.is_blind() {
            let open: Vec<usize> = candidates.iter().map(|candidate| candidate.position).collect();
            return self.select_blindly(&open, count, count, noise, step, first_position);
        }
        let mut ranked: Vec<(f64, &Candidate)> = candidates
            .iter()
            .map(|c| {
                let score = match self {
                    // Chosen above.
                    Self::Random | Self::Spread | Self::LeftToRight | Self::Verified => 0.0,
                    Self::Confidence | Self::Threshold { .. } => -c.draw.probability,
                    Self::Margin => -c.draw.margin,
                    Self::Entropy | Self::EntropyBound { .. } => c.draw.entropy,
                };
                (score, c)
            })
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.position.cmp(&b.1.position)));
        let count = match *self {
            Self::EntropyBound { bound } => count.max(within_bound(&ranked, bound)),
            Self::Threshold { above } => count.max(ranked.partition_point(|(score, _)| -score > above)),
            _ => count,
        };
        let mut chosen: Vec<usize> = ranked.iter().take(count).map(|(_, c)| c.position).collect();
        chosen.sort_unstable();
        chosen
    }

    /// Whether the positions are known before the network has said anything.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        matches!(self, Self::Random | Self::Spread | Self::LeftToRight | Self::Verified)
    }

    /// What [`CommitSchedule::select`] chooses of the positions `open`, which ascend, under a blind schedule. From left to right it is the
    /// `count` longest of at least `stretches` stretches that grow.
    pub(crate) fn select_blindly(
        &self,
        open: &[usize],
        count: usize,
        stretches: usize,
        noise: &Noise,
        step: u64,
        first_position: u64,
    ) -> Vec<usize> {
        if matches!(self, Self::LeftToRight | Self::Verified) {
            return heads(open, count, stretches);
        }
        if *self == Self::Spread && count > 1 {
            let first = noise.uniform(Purpose::Commit, step, first_position);
            return spread(open, count, first);
        }
        let lot = |position: usize| noise.uniform(Purpose::Commit, step, first_position + position as u64);
        let mut ranked: Vec<(f64, usize)> = open.iter().map(|&position| (lot(position), position)).collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut chosen: Vec<usize> = ranked.iter().take(count).map(|(_, position)| *position).collect();
        chosen.sort_unstable();
        chosen
    }
}

/// Longest prefix whose entropies, ascending, sum to at most `bound` when the last is left out.
fn within_bound(ranked: &[(f64, &Candidate)], bound: f64) -> usize {
    let mut sum = 0.0;
    ranked
        .iter()
        .take_while(|(entropy, _)| {
            let fits = sum <= bound;
            sum += entropy;
            fits
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISE: Noise = Noise::new(2, 0);

    fn candidates(rows: &[(f64, f64, f64)]) -> Vec<Candidate> {
        rows.iter()
            .enumerate()
            .map(|(position, &(probability, margin, entropy))| Candidate {
                position,
                draw: Draw {
                    token: 0,
                    probability,
                    top: 0,
                    top_probability: probability,
                    margin,
                    entropy,
                },
            })
            .collect()
    }

    #[test]
    fn each_schedule_ranks_by_its_own_measure() {
        let all = candidates(&[(0.5, 0.1, 0.4), (0.9, 0.2, 0.9), (0.2, 0.8, 0.3), (0.9, 0.0, 2.0)]);
        let pick = |s: CommitSchedule, n| s.select(&all, n, &NOISE, 0, 0);
        assert_eq!(
            pick(CommitSchedule::Confidence, 1),
            [1],
            "ties go to the earlier position"
        );
        assert_eq!(pick(CommitSchedule::Confidence, 2), [1, 3]);
        assert_eq!(pick(CommitSchedule::Margin, 2), [1, 2]);
        assert_eq!(pick(CommitSchedule::Entropy, 2), [0, 2]);
        assert_eq!(pick(CommitSchedule::Entropy, 9).len(), 4);
    }

    #[test]
    fn the_entropy_bound_commits_what_fits_and_keeps_the_pace() {
        let all = candidates(&[(0.0, 0.0, 0.4), (0.0, 0.0, 0.9), (0.0, 0.0, 0.3), (0.0, 0.0, 2.0)]);
        let pick = |bound, n| CommitSchedule::EntropyBound { bound }.select(&all, n, &NOISE, 0, 0);
        assert_eq!(pick(0.0, 0), [2], "at least one");
        assert_eq!(pick(0.35, 1), [0, 2], "0.3 before the largest member");
        assert_eq!(pick(0.7, 1), [0, 1, 2]);
        assert_eq!(pick(99.0, 1).len(), 4);
        assert_eq!(pick(0.0, 3).len(), 3, "never slower than the even pace");
    }

    #[test]
    fn the_threshold_commits_all_that_is_sure_and_keeps_the_pace() {
        let all = candidates(&[(0.95, 0.0, 0.0), (0.2, 0.0, 0.0), (0.99, 0.0, 0.0), (0.9, 0.0, 0.0)]);
        let pick = |above, n| CommitSchedule::Threshold { above }.select(&all, n, &NOISE, 0, 0);
        assert_eq!(pick(0.9, 1), [0, 2], "the threshold itself is not above it");
        assert_eq!(pick(1.0, 1), [2]);
        assert_eq!(pick(0.9, 3), [0, 2, 3]);
        assert_eq!(pick(0.0, 1).len(), 4);
    }

    #[test]
    fn names_round_trip() {
        for name in [
            "random",
            "spread",
            "left-to-right",
            "confidence",
            "margin",
            "entropy",
            "entropy-bound:0.25",
            "threshold:0.8",
            "verified",
        ] {
            assert_eq!(name.parse::<CommitSchedule>().unwrap().to_string(), name);
        }
        assert!("entropy-bound:-1".parse::<CommitSchedule>().is_err());
        assert!("threshold:2".parse::<CommitSchedule>().is_err());
        assert!(
            "best"
                .parse::<CommitSchedule>()
                .unwrap_err()
                .to_string()
                .contains("margin")
        );
    }

    #[test]
    fn spread_positions_are_far_apart_and_equally_likely() {
        let mut hits = [0_u32; 16];
        for step in 0..4000 {
            let mut open = candidates(&[(0.0, 0.0, 0.0); 16]);
            for left in [4, 3, 2, 1] {
                let chosen = CommitSchedule::Spread.select(&open, 4, &NOISE, step, left);
                assert_eq!(chosen.len(), 4);
                let near = chosen.windows(2).map(|pair| pair[1] - pair[0]).min();
                assert!(near >= Some(left as usize), "{chosen:?} with {left} rounds left");
                if left == 4 {
                    chosen.iter().for_each(|position| hits[*position] += 1);
                }
                open.retain(|c| !chosen.contains(&c.position));
            }
            assert!(open.is_empty());
        }
        assert!(hits.iter().all(|h| h.abs_diff(1000) < 120), "{hits:?}");
        assert!(CommitSchedule::Spread.select(&[], 3, &NOISE, 0, 0).is_empty());
        let few = candidates(&[(0.0, 0.0, 0.0); 2]);
        assert_eq!(CommitSchedule::Spread.select(&few, 3, &NOISE, 0, 0), [0, 1]);
    }

    #[test]
    fn left_to_right_writes_each_stretch_from_its_left() {
        let mut open = candidates(&[(0.1, 0.1, 2.0); 8]);
        let pick = |open: &[Candidate], count| CommitSchedule::LeftToRight.select(open, count, &NOISE, 0, 0);
        assert_eq!(pick(&open, 1), [0]);
        assert_eq!(pick(&open, 9).len(), 8);
        for step in 0..4 {
            let chosen = pick(&open, 2);
            assert_eq!(chosen, [step, step + 4]);
            open.retain(|c| !chosen.contains(&c.position));
        }
        assert!(pick(&open, 2).is_empty());
    }

    #[test]
    fn random_is_uniform_and_repeats() {
        let all = candidates(&[(0.0, 0.0, 0.0); 4]);
        let mut hits = [0_u32; 4];
        for step in 0..4000 {
            let chosen = CommitSchedule::Random.select(&all, 1, &NOISE, step, 16);
            assert_eq!(chosen, CommitSchedule::Random.select(&all, 1, &NOISE, step, 16));
            hits[chosen[0]] += 1;
        }
        assert!(hits.iter().all(|h| h.abs_diff(1000) < 120), "{hits:?}");
    }
}
