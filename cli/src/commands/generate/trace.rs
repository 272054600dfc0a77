//! `--trace`: what every pass did, one JSON object a line.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use drdiff_files::Unfinished;
use drdiff_generation::PassCompute;
use drdiff_model::Tokenizer;
use drdiff_solver::{Choice, StepReport};
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::usage;

/// A trace that is written to a neighbour of its file and renamed at the end. Dropped before that, it leaves nothing.
pub(super) struct Trace {
    path: PathBuf,
    temporary: PathBuf,
    _unfinished: Unfinished,
    file: BufWriter<File>,
    complete: bool,
}

impl Trace {
    /// Begins a trace with a line that says how the text is made.
    pub(super) fn create(path: &Path, header: &impl Serialize) -> Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let temporary = path.with_file_name(name);
        let unfinished = Unfinished::new(&temporary);
        let file = File::create(&temporary).map_err(|e| {
            usage(format!(
                "cannot write the trace {}: {e}; choose another file",
                path.display()
            ))
        })?;
        let mut trace = Self {
            path: path.to_owned(),
            temporary,
            _unfinished: unfinished,
            file: BufWriter::new(file),
            complete: false,
        };
        trace.line(&json!({ "record": "run", "run": header }))?;
        Ok(trace)
    }

    /// Adds a pass.
    pub(super) fn pass(
        &mut self,
        place: [usize; 3],
        seconds: f64,
        report: &StepReport,
        compute: &PassCompute,
        tokens: &Tokenizer,
    ) -> Result<()> {
        let [block, step, nfe] = place;
        let choices = |choices: &[Choice]| -> Vec<Value> {
            let choice = |c: &Choice| json!({ "position": c.position, "token": c.token, "text": tokens.decode(&[c.token]), "p": c.probability });
            choices.iter().map(choice).collect()
        };
        self.line(&json!({
            "record": "pass",
            "block": block,
            "step": step,
            "nfe": nfe,
            "seconds": seconds,
            "committed": choices(&report.committed),
            "provisional": choices(&report.provisional),
            "reabsorbed": report.reabsorbed,
            "compute": compute,
        }))
    }

    /// Gives the trace its name.
    pub(super) fn finish(mut self) -> Result<()> {
        let wrong = || format!("cannot write the trace {}", self.path.display());
        self.file.flush().with_context(wrong)?;
        fs::rename(&self.temporary, &self.path).with_context(wrong)?;
        self.complete = true;
        Ok(())
    }

    fn line(&mut self, record: &Value) -> Result<()> {
        writeln!(self.file, "{record}").with_context(|| format!("cannot write the trace {}", self.path.display()))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if !self.complete {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
