//! A row of a report: one cell of a sweep, what it cost and how its texts read.

use drdiff_evaluation::Point;
use drdiff_evaluation::distance::Distances;

use crate::sweep::{Setting, differing, label};
use crate::table::Value;

/// What a token of text costs, in the mean. Tokens are those of the text: what was committed behind its end is paid
/// for and not counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Costs {
    /// Network passes.
    pub nfe: f64,
    /// Seconds of writing.
    pub seconds: f64,
    /// Floating-point operations.
    pub flops: f64,
}

/// How texts read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Perplexity under the judge, if there is one.
    pub perplexity: Option<f64>,
    /// Standard error of its logarithm over texts.
    pub perplexity_error: Option<f64>,
    /// Unigram entropy of a text, nats a token.
    pub entropy: f64,
    /// Share of bigrams that are different, the mean over the texts that have one.
    pub distinct: Option<f64>,
    /// Share of 4-grams that were there before in the same text, the mean over the texts that have one.
    pub repeated: Option<f64>,
    /// Texts that have a bigram, and those that have a 4-gram.
    pub with_grams: [usize; 2],
    /// How far the texts are from human text, where that was measured.
    pub distances: Option<Distances>,
}

/// A text of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Index of its prompt.
    pub prompt: usize,
    /// Its seed.
    pub seed: u64,
    /// Request id of its noise.
    pub request: u64,
    /// The text, without the prompt.
    pub text: String,
}

/// One cell of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Every setting.
    pub settings: Vec<Setting>,
    /// Texts that were measured.
    pub texts: usize,
    /// Tokens of them.
    pub tokens: usize,
    /// What they cost.
    pub costs: Costs,
    /// How they read.
    pub reading: Reading,
    /// Some of them, the same prompts and seeds in every row.
    pub samples: Vec<Sample>,
}

impl Row {
    /// The value of a setting.
    pub(super) fn setting(&self, name: &str) -> Option<&Value> {
        self.settings
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// What tells this row from the others, in words: its values of the settings `names`.
    pub(super) fn label(&self, names: &[&str]) -> String {
        label(self.settings.iter().filter(|(name, _)| names.contains(name)))
    }

    /// What choosing looks at; `None` without a judge.
    pub(super) fn point(&self) -> Option<Point> {
        Some(Point {
            flops: self.costs.flops,
            perplexity: self.reading.perplexity?,
            entropy: self.reading.entropy,
        })
    }
}

/// Names of the settings in which rows differ that have them (see [`differing`]).
pub(super) fn varied(rows: &[Row]) -> Vec<&'static str> {
    let columns: Vec<&[Setting]> = rows.iter().map(|row| row.settings.as_slice()).collect();
    differing(&columns)
}

/// Rows that are equal in the settings `names`, with the words for those settings, in the order of their first rows.
pub(super) fn groups(rows: &[Row], names: &[&str]) -> Vec<(String, Vec<usize>)> {
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let label = row.label(names);
        match groups.iter_mut().find(|(known, _)| *known == label) {
            Some((_, members)) => members.push(index),
            None => groups.push((label, vec![index])),
        }
    }
    groups
}
