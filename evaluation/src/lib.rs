//! Measuring texts and models: metrics, judges, sweeps and their reports.

pub mod judge;
pub mod metrics;
pub mod report;
pub mod sweep;
pub mod table;
