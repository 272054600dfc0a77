//! Sets of texts and what is measured of each: the rows of `drdiff eval`.

mod context_gain;
mod measure;
mod openings;
mod quarters;
mod rank;
mod read;

pub use context_gain::{ContextGain, context_gain};
pub use measure::{Measures, Perplexity, Reading, Row, judge_texts};
pub use openings::openings;
pub use rank::ranks;
pub use read::{Malformed, Text, TextSet, documents_of};
