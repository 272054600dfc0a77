//! What is measured of a set of texts.

use std::sync::atomic::{AtomicBool, Ordering};

use drdiff_data::Tokenizer;
use serde::Serialize;

use super::context_gain::ContextGain;
use super::read::{Malformed, TextSet};
use crate::distance::Distances;
use crate::metrics::{Counts, Endings, Lengths, Memorisation, self_bleu};
use crate::{Error, Judge, Result, Surprise, perplexity};

/// Generative perplexity under a judge.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Perplexity {
    /// `exp` of the mean nats of the judge's tokens.
    pub value: f64,
    /// Standard error of its logarithm over texts; `None` of one text.
    pub log_error: Option<f64>,
    /// Texts that it is of: those that hold something to read.
    pub texts: usize,
}

/// A set of texts, measured. Perplexity never stands without entropy, distinct n-grams and repetition.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Row {
    /// The file's name.
    pub name: String,
    /// Texts that were measured; empty ones are not.
    pub texts: usize,
    /// Texts that are empty.
    pub empty: usize,
    /// Of the measured texts, those that go on from a prompt.
    pub prompted: usize,
    /// Of the measured texts, those whose records do not say what they go on from: a judge reads them from nothing.
    pub prompt_unknown: usize,
    /// Entropy, distinct n-grams and repetition of their tokens.
    pub counts: Counts,
    /// Lengths in tokens.
    pub lengths: Lengths,
    /// Why they ended, if their records say so.
    pub endings: Option<Endings>,
    /// How much they resemble each other; `None` of one text.
    pub self_bleu: Option<f64>,
    /// Under the judge, if there is one.
    pub perplexity: Option<Perplexity>,
    /// That of each quarter of the texts behind what stands before it, if it was asked for; `None` of a quarter that is empty in
    /// every text.
    pub perplexity_by_quarter: Option<Vec<Option<Perplexity>>>,
    /// What their own first halves are worth to the judge, if there is one; `None` where no text is long enough.
    pub context_gain: Option<ContextGain>,
    /// What of them stands in the training text, if that was given.
    pub memorisation: Option<Memorisation>,
    /// How far they are from human text, if features and human text were given.
    pub distances: Option<Distances>,
    /// Lines that held no text.
    pub malformed: Vec<Malformed>,
}

/// A set of texts as tokens, for what is counted.
#[derive(Debug)]
pub struct Measures {
    ids: Vec<Vec<u32>>,
}

impl Measures {
    /// Encodes the texts, prompts left out.
    ///
    /// # Errors
    /// If a text cannot be encoded.
    pub fn new(set: &TextSet, tokenizer: &Tokenizer) -> Result<Self> {
        let texts = set.texts.iter().filter(|text| !text.text.is_empty());
        let ids = texts.map(|text| Ok(tokenizer.encode(&text.text)?));
        Ok(Self {
            ids: ids.collect::<Result<_>>()?,
        })
    }

    /// Tokens of each text.
    #[must_use]
    pub fn ids(&self) -> Vec<&[u32]> {
        self.ids.iter().map(Vec::as_slice).collect()
    }

    /// What can be said of the texts by counting alone.
    ///
    /// # Errors
    /// If there is no text.
    pub fn row(&self, set: &TextSet) -> Result<Row> {
        let ids = self.ids();
        let lengths: Vec<usize> = ids.iter().map(|ids| ids.len()).collect();
        let none = || Error::Config(format!("{} holds no text", set.name));
        let prompts = || {
            set.texts
                .iter()
                .filter(|text| !text.text.is_empty())
                .map(|text| &text.prompt)
        };
        Ok(Row {
            name: set.name.clone(),
            texts: ids.len(),
            empty: set.texts.len() - ids.len(),
            prompted: prompts().flatten().filter(|prompt| !prompt.is_empty()).count(),
            prompt_unknown: prompts().filter(|prompt| prompt.is_none()).count(),
            counts: Counts::of(ids.iter().copied()).ok_or_else(none)?,
            lengths: Lengths::of(&lengths).ok_or_else(none)?,
            endings: Endings::of(set.texts.iter().map(|text| text.stop_reason.as_deref())),
            self_bleu: self_bleu(&ids),
            malformed: set.malformed.clone(),
            ..Row::default()
        })
    }
}

/// What came of letting a judge read a set of texts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading<T> {
    /// It read all of them; `None` where there is nothing to say of them.
    Read(Option<T>),
    /// It was asked to stop.
    Stopped,
}

/// Lets a judge read all texts of a set, each after its prompt; one whose prompt is not known is read from nothing.
///
/// # Errors
/// If the judge fails at a text.
pub fn judge_texts(
    set: &TextSet,
    judge: &mut dyn Judge,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(usize, usize),
) -> Result<Reading<Perplexity>> {
    let mut surprises: Vec<Surprise> = Vec::with_capacity(set.texts.len());
    for (index, text) in set.texts.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Ok(Reading::Stopped);
        }
        tell(index, set.texts.len());
        if !text.text.is_empty() {
            let prompt = text.prompt.as_deref().unwrap_or_default();
            surprises.push(judge.read(prompt, &text.text)?);
        }
    }
    let texts = surprises.len();
    let found = perplexity(&surprises).map(|(value, log_error)| Perplexity {
        value,
        log_error,
        texts,
    });
    Ok(Reading::Read(found))
}
