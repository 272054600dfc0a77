//! What a block asks of the network in a step, and what the step will do with it.

use super::BlockRun;
use crate::config::Process;

impl BlockRun {
    /// The positions that need logits, ascending: those without a token, or of a [sparing](BlockRun::sparing) block, where the
    /// schedule chooses without looking and nothing else depends on the likeliest tokens, those that it will commit. Where
    /// predictions are extrapolated these must have been predicted in the step before, too.
    #[must_use]
    pub fn asked(&self) -> Vec<usize> {
        let open = self.open();
        // What is opened again between two steps changes what the second one commits.
        let unforeseen = self.extrapolates() && self.config.reabsorb.is_some();
        if !self.sparing || self.reads_tops() || unforeseen || !self.config.commit.is_blind() {
            return open;
        }
        let mut asked = self.blind_choice(&open, self.step);
        if self.extrapolates() {
            let mut left = open;
            left.retain(|position| asked.binary_search(position).is_err());
            asked.extend(self.blind_choice(&left, self.step + 1));
            asked.sort_unstable();
        }
        asked
    }

    /// What a blind schedule commits in a step of the positions that are open then, ascending.
    pub(super) fn blind_choice(&self, open: &[usize], step: usize) -> Vec<usize> {
        let count = self.commit_count(step, open.len());
        if count == open.len() {
            return open.to_vec();
        }
        let (noise, first) = (&self.noise, self.first_position);
        // As many as an even pace needs, also in steps that commit fewer.
        let stretches = open.len().div_ceil(self.config.steps - step);
        self.config
            .commit
            .select_blindly(open, count, stretches.max(count), noise, step as u64, first)
    }

    /// The positions that need a prediction of any kind, ascending: [those](BlockRun::asked) that need logits, and all that are open
    /// where they need data.
    #[must_use]
    pub fn read(&self) -> Vec<usize> {
        if self.needs_data() { self.open() } else { self.asked() }
    }

    /// Whether soft positions move by their likeliest tokens.
    pub(super) fn reads_tops(&self) -> bool {
        self.needs_data() && self.config.process == Process::SoftAbsorbing && self.config.guidance.is_on()
    }

    /// Whether the next prediction must hold data in embedding space, of all open positions: soft ones move after it.
    #[must_use]
    pub fn needs_data(&self) -> bool {
        self.config.moves(self.step)
    }

    /// Whether a step commits all that is open: the last one.
    pub(super) fn commits_all(&self, step: usize) -> bool {
        step + 1 >= self.config.steps
    }

    /// How many positions to commit in a step.
    pub(super) fn commit_count(&self, step: usize, open: usize) -> usize {
        if self.commits_all(step) {
            return open;
        }
        let (steps, wait) = (self.config.steps, self.config.wait());
        match step.checked_sub(wait) {
            Some(step) => self.config.pace.commits(step, steps - wait, self.total, open),
            None => 0,
        }
    }

    pub(super) fn extrapolates(&self) -> bool {
        self.config.extrapolate && self.config.process == Process::Absorbing
    }
}
