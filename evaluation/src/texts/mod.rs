//! Sets of texts and what is measured of each: the rows of `drdiff eval`.

mod measure;
mod quarters;
mod rank;
mod read;

pub use measure::{Measures, Perplexity, Reading, Row, judge_texts};
pub use rank::ranks;
pub use read::{Malformed, Text, TextSet, documents_of};
