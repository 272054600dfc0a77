//! Measuring texts and models: metrics, judges, sweeps and their reports.
