//! Measuring texts and models: metrics, scoring models, distances to human text, recall in long texts.

mod bands;
pub mod distance;
mod error;
pub mod features;
pub mod judge;
pub mod metrics;
pub mod recall;
mod score;
pub mod texts;

pub use bands::{Band, COMPARABLE, Point, TOLERANCE, bands, front};
pub use error::{Error, Result};
pub use score::{Judge, Surprise, perplexity};
