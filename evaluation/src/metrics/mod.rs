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
pub use repetition::Repetition;
pub use self_bleu::{REFERENCES, self_bleu};

/// A part of a whole; 0 of nothing.
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
