//! Measuring texts and models: metrics, judges, distances to human text, recall in long texts, sweeps and their reports.

pub mod distance;
pub mod features;
pub mod judge;
pub mod metrics;
pub mod recall;
pub mod report;
pub mod sweep;
pub mod table;
pub mod texts;
