//! The files of a finished sweep.

use std::path::Path;

use drdiff_model::write_atomically;

use super::error::{Result, SweepError};
use crate::report::Report;
use crate::table::Table;

/// The report in the output folder.
pub const REPORT: &str = "report.html";

/// Writes `results.csv`, `results.parquet`, `report.html` and `plots/*.svg`, each whole or not at all.
///
/// # Errors
/// If a file cannot be written.
pub fn write(folder: &Path, table: &Table, report: &Report) -> Result<()> {
    let plots = folder.join("plots");
    std::fs::create_dir_all(&plots).map_err(|source| SweepError::File {
        action: "make the folder",
        path: plots.clone(),
        source,
    })?;
    write_atomically(&folder.join("results.csv"), table.to_csv().as_bytes())?;
    let notes: Vec<(&str, String)> = report
        .facts
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    write_atomically(&folder.join("results.parquet"), &table.to_parquet(&notes)?)?;
    for figure in report.figures() {
        if let Some(svg) = figure.svg() {
            write_atomically(&plots.join(figure.name).with_extension("svg"), svg.as_bytes())?;
        }
    }
    write_atomically(&folder.join(REPORT), report.html().as_bytes())?;
    Ok(())
}
