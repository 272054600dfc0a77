//! The model that a command was given.

use std::path::Path;

use anyhow::Result;
use drdiff::Source;

use crate::output::remark;

/// [`Source::find`]. Tells, unless `quiet`, which weights were chosen where a folder holds those of two steps.
pub(crate) fn find(path: Option<&Path>, quiet: bool) -> Result<Source> {
    let source = Source::find(path)?;
    if let Some(note) = &source.note {
        remark(quiet, note);
    }
    Ok(source)
}
