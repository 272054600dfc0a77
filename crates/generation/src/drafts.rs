//! A text that is written by draft and check: the rows that it wants of a pass, and what it makes of what they say.

use std::ops::Range;

use drdiff_attention::Branch;
use drdiff_noise::Noise;
use drdiff_solver::{Choice, StepReport, VerifiedRun};

use crate::{Request, Result, Task};

/// Rows of a pass up to which one pass is cheaper on a GPU. There nearly all of a small pass is launches: 30 rows of a network of 135 million parameters
/// cost 1.2 times one row on an H200, and about a thousand would cost as much as the launches. Two passes have a quarter of the rows, and not every
/// draft needs the second. On a CPU each row costs.
const ROWS_OF_ONE_PASS: usize = 400;

/// How drafts and checks are divided into passes. Either writes the same text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DraftForm {
    /// A draft and its check have a pass each, with few rows. The check of a draft's first token goes with the draft.
    TwoPasses,
    /// A pass that checks a draft makes the next one as well, behind each outcome that the check may have.
    OnePass,
}

impl DraftForm {
    /// What is cheaper on a device where one pass for all texts would have so many rows.
    pub(crate) fn cheaper(on_cpu: bool, rows: usize) -> Self {
        match on_cpu || rows > ROWS_OF_ONE_PASS {
            true => Self::TwoPasses,
            false => Self::OnePass,
        }
    }
}

/// A text in progress.
pub(crate) struct Drafts {
    /// Passes that decided tokens, from 0.
    pub(crate) number: usize,
    pub(crate) run: VerifiedRun,
    /// What the last of them decided.
    pub(crate) decided: Vec<u32>,
}

/// Masked rows, of which some are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MaskedRows {
    pub(crate) branch: Branch,
    pub(crate) asked: Range<usize>,
}

/// What the rows of a pass are to a text. Answers come in this order: those of the checks, then those of the drafts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DraftRows {
    /// Clean rows of the text. Those behind them are drafts; the last of them and the drafts are checked.
    pub(crate) text: usize,
    /// Checks: one more than there are drafts among the clean rows.
    pub(crate) checks: usize,
    /// Masked rows that check, one for each of the checks, where the network's clean rows do not predict the next token; else none.
    checking: Vec<MaskedRows>,
    /// Masked rows of the next draft, behind each outcome of the check; or only behind the text as it is.
    drafting: Vec<MaskedRows>,
    /// Whether the draft comes before the check.
    pub(crate) drafts_first: bool,
}

impl DraftRows {
    /// The masked rows, in their order in the pass.
    pub(crate) fn masked(&self) -> impl Iterator<Item = &MaskedRows> {
        self.checking.iter().chain(&self.drafting)
    }

    /// Their branches.
    pub(crate) fn branches(&self) -> Vec<Branch> {
        self.masked().map(|rows| rows.branch).collect()
    }

    /// Places of the masked rows, counted from the first clean one.
    pub(crate) fn places(&self) -> impl Iterator<Item = i64> {
        let places = |rows: &MaskedRows| rows.branch.sees..rows.branch.sees + rows.branch.rows;
        self.masked().flat_map(places).map(|place| place as i64)
    }

    /// Answers that are needed whatever is decided; they come first.
    pub(crate) fn needed(&self) -> usize {
        if self.drafts_first { self.asked() } else { self.checks }
    }

    /// Answers that are wanted.
    pub(crate) fn asked(&self) -> usize {
        self.checks + self.drafting.iter().map(|rows| rows.asked.len()).sum::<usize>()
    }

    /// Masked rows whose answers are not.
    pub(crate) fn unasked(&self) -> usize {
        self.masked().map(|rows| rows.branch.rows - rows.asked.len()).sum()
    }

    /// Whether the clean rows themselves check.
    pub(crate) fn asks_clean(&self) -> bool {
        self.checking.is_empty()
    }

    /// Among the answers to drafts those behind the outcome that so many tokens were decided, if it was drafted for.
    fn outcome(&self, decided: usize) -> Option<Range<usize>> {
        let asked = |rows: &MaskedRows| rows.asked.len();
        let before = self.drafting.get(..decided - 1)?.iter().map(asked).sum();
        let own = self.drafting.get(decided - 1).map(asked)?;
        (!self.drafts_first).then_some(before..before + own)
    }
}

/// What a pass came to.
pub(crate) struct Decided {
    pub(crate) report: StepReport,
    /// Clean rows of the pass that are text now.
    pub(crate) kept: usize,
    /// The answers, among those to drafts, that the next draft is made of.
    pub(crate) outcome: Option<Range<usize>>,
}

impl Drafts {
    /// The beginning of the text of `request`, of whose tokens the first `limit` may be drafted, over a vocabulary.
    pub(crate) fn new(request: &Request, vocabulary: usize, limit: usize) -> Result<Self> {
        let prompt = match &request.task {
            Task::Continue(prompt) => prompt.ids.clone(),
            Task::Infill(_) => Vec::new(),
        };
        let settings = &request.settings;
        let noise = Noise::new(settings.seed, request.id);
        Ok(Self {
            number: 0,
            run: VerifiedRun::new(settings.sampler.clone(), vocabulary, noise, prompt, limit)?,
            decided: Vec::new(),
        })
    }

    /// Rows of a pass that checks what waits and drafts behind each outcome.
    pub(crate) fn rows_of_one_pass(&self) -> usize {
        (self.run.drafts().count() + 1) * (self.run.masks() + 1)
    }

    /// The rows of the next pass, which takes in the last `clean` tokens of the text and all that was drafted.
    pub(crate) fn rows(&self, clean: usize, form: DraftForm, next_token: bool) -> DraftRows {
        let (run, drafts) = (&self.run, self.run.drafts().count());
        let rows = |sees, rows, asked| MaskedRows {
            branch: Branch { sees, rows },
            asked,
        };
        let draft = |sees, ahead| rows(sees, run.masks(), 1..1 + run.wanted(ahead));
        let outcomes = 0..=drafts;
        let mut drafting: Vec<MaskedRows> = match (run.is_due(), form) {
            // It never sees the last token, which in one pass it could not.
            (true, _) => vec![draft(clean - 1, 0)],
            // A prompt is read as it would be without drafts, whose rows might change its last bits.
            (false, DraftForm::OnePass) if clean == 1 => outcomes
                .clone()
                .map(|accepted| draft(clean + accepted, accepted + 1))
                .collect(),
            (false, _) => Vec::new(),
        };
        drafting.retain(|rows| !rows.asked.is_empty());
        let checking = outcomes
            .filter(|_| !next_token)
            .map(|accepted| rows(clean + accepted, 1, 0..1));
        DraftRows {
            text: clean,
            checks: drafts + 1,
            checking: checking.collect(),
            drafts_first: run.is_due() && !drafting.is_empty(),
            drafting,
        }
    }

    /// Takes what the network said to `rows`: to the checks, and to the draft if that comes first.
    pub(crate) fn take(&mut self, rows: &DraftRows, mut logits: Vec<f32>, vocabulary: usize) -> Result<Decided> {
        let drafted = logits.split_off((rows.checks * vocabulary).min(logits.len()));
        if rows.drafts_first {
            self.run.draft(drafted)?;
        }
        let checked = self.run.check(logits)?;
        self.decided = checked.committed.iter().map(|choice| choice.token).collect();
        let ended = self.run.is_due().then(|| rows.outcome(self.decided.len()));
        Ok(Decided {
            // The last token that was decided has not been read.
            kept: rows.text + self.decided.len() - 1,
            outcome: ended.flatten(),
            report: StepReport {
                committed: checked.committed,
                rejected: checked.rejected,
                finished: true,
                ..StepReport::default()
            },
        })
    }

    /// Drafts that wait for their checks, behind what was decided last.
    pub(crate) fn waiting(&self) -> Vec<Choice> {
        let behind = self.run.waiting().enumerate();
        let choice = |(place, (token, probability))| Choice {
            position: self.decided.len() + place,
            token,
            probability,
        };
        behind.map(choice).collect()
    }
}
