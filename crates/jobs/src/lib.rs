//! Long work over many requests, which survives being ended at any moment: batch files, and sweeps over settings with
//! their reports.

pub mod batch;
pub mod report;
pub mod sweep;
pub mod table;
