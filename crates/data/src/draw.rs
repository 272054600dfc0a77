//! Which text a training step sees: a function of seed, step and place in the batch, so that a resumed, regrouped or
//! sharded run sees what the whole run would have seen.

use std::collections::BTreeMap;

use drdiff_noise::{Noise, Purpose};
use serde::{Deserialize, Serialize};

use super::corpus::{Corpus, Window};
use super::error::DataError;
use super::manifest::Split;
use super::shard::Shard;

/// What training windows are drawn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// Share of the windows by tier, normalised to 1; empty means in proportion to the tokens of each tier.
    pub shares: BTreeMap<String, f64>,
    /// Share of the windows that begin where a document begins; the others begin anywhere. In [0, 1].
    ///
    /// Without it the network rarely sees an opening at the place where it will have to write one.
    pub document_start: f64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            shares: BTreeMap::new(),
            document_start: 0.2,
        }
    }
}

/// Draws training windows.
#[derive(Debug)]
pub struct Sampler<'a> {
    corpus: &'a Corpus,
    /// Upper ends of the tiers on [0, 1].
    tiers: Vec<(f64, &'a Shard)>,
    window: usize,
    document_start: f64,
    noise: Noise,
    left_out: Vec<(String, u64)>,
}

impl Corpus {
    /// A sampler of windows of `window` tokens under `noise`. A tier that is shorter than one window is left out, unless a share names it.
    ///
    /// # Errors
    /// Shares that are negative, all zero or name an unknown tier or one shorter than a window; a corpus whose tiers are all shorter.
    pub fn sampler(&self, sampling: &Sampling, window: usize, noise: Noise) -> Result<Sampler<'_>, DataError> {
        let refuse = |name, range, value: f64| DataError::Option {
            name,
            range,
            value: value.to_string(),
        };
        if !(0.0..=1.0).contains(&sampling.document_start) {
            return Err(refuse("document_start", "between 0 and 1", sampling.document_start));
        }
        if window == 0 {
            return Err(refuse("the window", "at least 1 token", 0.0));
        }
        let shards = self.shards(Split::Train);
        let by_tokens = || {
            shards
                .iter()
                .map(|(tier, shard)| (tier.clone(), shard.tokens() as f64))
                .collect()
        };
        let shares = if sampling.shares.is_empty() {
            by_tokens()
        } else {
            sampling.shares.clone()
        };
        let (mut tiers, mut left_out) = (Vec::new(), Vec::new());
        let mut end = 0.0;
        for (tier, share) in shares {
            if !(share.is_finite() && share >= 0.0) {
                return Err(refuse("a share", "a number of at least 0", share));
            }
            let shard = shards
                .get(&tier)
                .ok_or_else(|| self.unknown_tier(Split::Train, &tier))?;
            if share == 0.0 {
                continue;
            }
            if shard.tokens() < window as u64 {
                left_out.push((tier, shard.tokens()));
                continue;
            }
            end += share;
            tiers.push((end, shard));
        }
        let named = !sampling.shares.is_empty();
        if let Some((tier, tokens)) = left_out.iter().max_by_key(|(_, tokens)| tokens)
            && (named || tiers.is_empty())
        {
            return Err(DataError::Short {
                split: Split::Train.name(),
                tier: tier.clone(),
                tokens: *tokens,
                window,
            });
        }
        if tiers.is_empty() {
            return Err(refuse("the sum of the shares", "above 0", 0.0));
        }
        tiers.iter_mut().for_each(|(upper, _)| *upper /= end);
        Ok(Sampler {
            corpus: self,
            tiers,
            window,
            document_start: sampling.document_start,
            noise,
            left_out,
        })
    }
}

impl Sampler<'_> {
    /// Tiers that are shorter than one window and are not drawn from, with their tokens.
    #[must_use]
    pub fn left_out(&self) -> &[(String, u64)] {
        &self.left_out
    }

    /// Window `index` of step `step`.
    ///
    /// # Errors
    /// A failing disk or a damaged shard.
    pub fn window(&self, step: u64, index: u64) -> Result<Window, DataError> {
        let mut stream = self.noise.stream(Purpose::Data, step, index);
        let tier = stream.uniform();
        let at = self
            .tiers
            .partition_point(|(upper, _)| *upper <= tier)
            .min(self.tiers.len() - 1);
        let (_, shard) = self.tiers[at];
        let last = shard.tokens() - self.window as u64;
        let start = if stream.uniform() < self.document_start {
            let document = stream.below(shard.documents() as usize) as u64;
            shard.document(document).start.min(last)
        } else {
            stream.below(last as usize + 1) as u64
        };
        self.corpus.window(shard, start, self.window)
    }

    /// The windows `indices` of step `step`; a step may be read in parts, as gradient accumulation does.
    ///
    /// # Errors
    /// As [`Sampler::window`].
    pub fn batch(&self, step: u64, indices: std::ops::Range<u64>) -> Result<Vec<Window>, DataError> {
        indices.map(|index| self.window(step, index)).collect()
    }
}
