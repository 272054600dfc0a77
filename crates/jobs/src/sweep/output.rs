//! The files of a finished sweep.

use std::path::Path;

use drdiff_files::{make_folder, write as write_file};

use super::error::Result;
use crate::report::Report;
use crate::table::Table;

/// The report in the output folder.
pub const REPORT: &str = "report.html";
const CSV: &str = "results.csv";
const PARQUET: &str = "results.parquet";
const PLOTS: &str = "plots";

/// The names of what [`write()`] writes in the output folder.
pub(super) const NAMES: [&str; 4] = [REPORT, CSV, PARQUET, PLOTS];

/// Writes `results.csv`, `results.parquet`, `report.html` and `plots/*.svg`, each whole or not at all.
///
/// # Errors
/// If a file cannot be written.
pub fn write(folder: &Path, table: &Table, report: &Report) -> Result<()> {
    let plots = folder.join(PLOTS);
    make_folder(&plots)?;
    write_file(&folder.join(CSV), table.to_csv().as_bytes())?;
    let notes: Vec<(&str, String)> = report
        .facts
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    write_file(&folder.join(PARQUET), &table.to_parquet(&notes)?)?;
    for figure in report.figures() {
        if let Some(svg) = figure.svg() {
            write_file(&plots.join(figure.name).with_extension("svg"), svg.as_bytes())?;
        }
    }
    write_file(&folder.join(REPORT), report.html().as_bytes())?;
    Ok(())
}
