//! Draft and check: self-speculative decoding. Masked positions behind the text are drafts; the network, read causally, checks them token by token.
//!
//! A draft of probability `q` that the check finds to have probability `p` is accepted with `min(1, p / q)`, and the first one that is not is
//! replaced by a draw from the positive part of `p - q`: so every token has the distribution `p`, whatever drafted it (Leviathan et al., arXiv
//! 2211.17192; Chen et al., arXiv 2302.01318). After a full acceptance one token more is drawn. That one network does both is from TiDAR (arXiv
//! 2511.08923). Both probabilities are those after the penalty, the temperature and `top_p`.

mod length;

use std::collections::VecDeque;

use drdiff_noise::{Noise, Purpose};
use rayon::prelude::*;

use crate::config::SamplerConfig;
use crate::distribution::Distribution;
use crate::error::{Error, Result, require_len};
use crate::frequency::Before;
use crate::report::Choice;
pub use length::DraftLength;
use length::Rate;

/// A token that waits for its check.
#[derive(Debug, Clone)]
struct Draft {
    token: u32,
    /// What it was drawn from.
    drawn: Distribution,
    /// Its place among the tokens that were drafted with it.
    place: usize,
}

/// How drafts have fared, by their place in a draft.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct DraftCounts {
    /// Drafts that came to their end: by a rejection, or by a token more behind the last accepted one.
    pub cycles: usize,
    /// Tokens that were drafted.
    pub drafted: Vec<usize>,
    /// Tokens that were accepted. Those behind a rejected one are not checked.
    pub accepted: Vec<usize>,
}

/// One more at a place.
fn count(counts: &mut Vec<usize>, place: usize) {
    counts.resize(counts.len().max(place + 1), 0);
    counts[place] += 1;
}

/// What a check decided.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checked {
    /// The next tokens of the text, at least one. All but the last are accepted drafts; the last may be one.
    pub committed: Vec<Choice>,
    /// The draft that was rejected in place of the last of them, and those behind it, which are dropped with it. Their probabilities are those of
    /// the row that rejected the first one.
    pub rejected: Vec<Choice>,
}

/// The sampler of a whole text by the schedule [`Verified`](crate::CommitSchedule::Verified): a state machine without a network.
///
/// Its text does not depend on how rows are divided into passes: what a draft may know of the text is always the same. It never knows the token
/// that ended the draft before it, which a pass that checks that one cannot know either.
#[derive(Debug, Clone)]
pub struct VerifiedRun {
    config: SamplerConfig,
    vocabulary: usize,
    noise: Noise,
    /// The text so far, the prompt included; and how much of it was there at the beginning.
    text: Vec<u32>,
    given: usize,
    /// Tokens of the text that drafts may stand for: those before this one, counted from the beginning of what is written.
    limit: usize,
    drafts: VecDeque<Draft>,
    /// Whether the last token ended a draft, so that the next one is due.
    due: bool,
    /// Length of the next draft.
    length: usize,
    rate: Rate,
    counts: DraftCounts,
}

impl VerifiedRun {
    /// Goes on behind `text`, the prompt. Of the tokens to come only the first `limit` may be drafted: the last one that is wanted need not be, for
    /// whatever decides the one before it decides that one, too.
    ///
    /// # Errors
    /// When the configuration is not usable.
    pub fn new(config: SamplerConfig, vocabulary: usize, noise: Noise, text: Vec<u32>, limit: usize) -> Result<Self> {
        config.validate()?;
        let rate = Rate::default();
        Ok(Self {
            length: config.draft_length.next(rate),
            given: text.len(),
            config,
            vocabulary,
            noise,
            text,
            limit,
            drafts: VecDeque::new(),
            due: false,
            rate,
            counts: DraftCounts::default(),
        })
    }

    /// The tokens that wait for their checks, which are the next ones of the text if they are accepted.
    pub fn drafts(&self) -> impl Iterator<Item = u32> {
        self.drafts.iter().map(|draft| draft.token)
    }

    /// The same with the probabilities that they were drawn with.
    pub fn waiting(&self) -> impl Iterator<Item = (u32, f64)> {
        self.drafts
            .iter()
            .map(|Draft { token, drawn, .. }| (*token, drawn.probability(*token)))
    }

    /// Whether the next draft is to be made behind the text as it is, before anything is checked.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.due
    }

    /// Masked positions that a draft is read from: one for the token that ended the draft before, which it does not know, and one for each of its
    /// own. All of them are there even where fewer are asked.
    #[must_use]
    pub fn masks(&self) -> usize {
        self.length + 1
    }

    /// How many of the next draft's tokens are wanted if it is made `ahead` tokens behind the text as it is.
    #[must_use]
    pub fn wanted(&self, ahead: usize) -> usize {
        let written = self.text.len() - self.given + ahead;
        self.length.min(self.limit.saturating_sub(written))
    }

    /// How drafts have fared so far.
    #[must_use]
    pub fn counts(&self) -> &DraftCounts {
        &self.counts
    }

    /// Drafts as many tokens behind the text as there are rows of `logits`, `[drafts, vocabulary]`: those of the masked positions without the
    /// first one.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::BadLogits`].
    pub fn draft(&mut self, mut logits: Vec<f32>) -> Result<()> {
        let rows = logits.len() / self.vocabulary;
        require_len("logits", logits.len(), rows * self.vocabulary)?;
        let known = self.text.len();
        // One behind another, for a word that is drafted holds back the same word behind it.
        for (place, row) in logits.chunks_exact_mut(self.vocabulary).enumerate() {
            let found = self.distribution(&self.text, row);
            let drawn = found.ok_or(Error::BadLogits { position: place })?;
            let token = drawn.draw(self.uniform(Purpose::Draft));
            count(&mut self.counts.drafted, place);
            self.drafts.push_back(Draft { token, drawn, place });
            self.text.push(token);
        }
        self.text.truncate(known);
        self.due = false;
        self.length = self.config.draft_length.next(self.rate);
        Ok(())
    }

    /// Decides tokens by the rows of `logits`, `[rows, vocabulary]`: that of the last token of the text, and those of the drafts that may be
    /// accepted. At least one row, and at most one more than there are drafts.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::BadLogits`].
    pub fn check(&mut self, mut logits: Vec<f32>) -> Result<Checked> {
        let rows = (logits.len() / self.vocabulary).clamp(1, self.drafts.len() + 1);
        require_len("logits", logits.len(), rows * self.vocabulary)?;
        let known = self.text.len();
        self.text.extend(self.drafts.iter().map(|draft| draft.token));
        let found: Vec<Option<Distribution>> = logits
            .par_chunks_exact_mut(self.vocabulary)
            .enumerate()
            .map(|(row, logits)| self.distribution(&self.text[..known + row], logits))
            .collect();
        self.text.truncate(known);
        let mut checked = Checked::default();
        let rows = logits.chunks_exact(self.vocabulary);
        for (position, (found, row)) in found.into_iter().zip(rows).enumerate() {
            let found = found.ok_or(Error::BadLogits { position })?;
            let drafts: Vec<u32> = self.drafts().collect();
            let (token, accepted) = self.decide(&found);
            self.text.push(token);
            let choice = |position, token| Choice {
                position,
                token,
                probability: found.untempered(row[token as usize]),
            };
            checked.committed.push(choice(position, token));
            if !accepted {
                self.drafts.clear();
                self.due = true;
                self.counts.cycles += 1;
                let dropped = drafts.into_iter().enumerate();
                checked.rejected = dropped
                    .map(|(behind, token)| choice(position + behind, token))
                    .collect();
                break;
            }
        }
        Ok(checked)
    }

    /// The next token, which the check finds to be distributed like `found`; and whether it is an accepted draft.
    fn decide(&mut self, found: &Distribution) -> (u32, bool) {
        let Some(Draft { token, drawn, place }) = self.drafts.pop_front() else {
            return (found.draw(self.uniform(Purpose::Sample)), false);
        };
        let accepted = self.uniform(Purpose::Accept) * drawn.probability(token) < found.probability(token);
        self.rate.add(accepted);
        if accepted {
            count(&mut self.counts.accepted, place);
            return (token, true);
        }
        (found.beyond(&drawn).draw(self.uniform(Purpose::Sample)), false)
    }

    /// Noise of the position behind the text. It decides once: a draft that nobody checks leaves the next one at its position free to use the same.
    fn uniform(&self, purpose: Purpose) -> f64 {
        self.noise.uniform(purpose, 0, self.text.len() as u64)
    }

    /// What a token behind `text` is drawn from by a row of logits, from which the penalty is taken.
    fn distribution(&self, text: &[u32], logits: &mut [f32]) -> Option<Distribution> {
        let SamplerConfig {
            frequency, sampling, ..
        } = &self.config;
        let recent = &text[text.len().saturating_sub(frequency.window)..];
        frequency.hold_back(&Before::of(recent.to_vec()), &[None], &[0], logits, self.vocabulary);
        Distribution::of(logits, sampling)
    }
}
