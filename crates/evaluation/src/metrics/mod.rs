//! Numbers of texts, by counting alone: pure functions of token ids, the same in any order of work.

mod counts;
mod ending;
mod frequency;
mod memorisation;
mod ngram;
mod repetition;
mod self_bleu;

pub use counts::Counts;
pub use ending::{Endings, Lengths};
pub use frequency::word_frequencies;
pub use memorisation::{Memorisation, Memory};
pub use ngram::copied_4;
pub use repetition::Repetition;
pub use self_bleu::{REFERENCES, self_bleu};

/// A part of a whole; `None` of nothing.
fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The mean of those values that are there, and how many they are; `None` of none.
fn mean(values: impl Iterator<Item = Option<f64>>) -> (Option<f64>, usize) {
    let there: Vec<f64> = values.flatten().collect();
    let sum: f64 = there.iter().sum();
    ((!there.is_empty()).then(|| sum / there.len() as f64), there.len())
}
