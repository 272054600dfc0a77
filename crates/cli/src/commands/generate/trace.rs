//! `--trace`: what every pass did, one JSON object a line.

use std::path::Path;

use anyhow::Result;
use drdiff_data::Tokenizer;
use drdiff_files::{Error, Output, Writer, begins_with};
use drdiff_generation::PassCompute;
use drdiff_solver::{Choice, StepReport};
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::usage;

/// How a trace begins.
const MARK: &[u8] = b"{\"record\":\"run\",";

/// The file for a trace: none of `inputs`, and none that holds anything else than an earlier trace.
pub(super) fn claim<I: AsRef<Path>>(path: &Path, inputs: &[I]) -> Result<Output> {
    let output = Output::claim(path, inputs).map_err(|error| match error {
        Error::File { source, .. } => usage(format!(
            "cannot write the trace {}: {source}; choose another file",
            path.display()
        )),
        other => other.into(),
    })?;
    Ok(output.over("trace of `drdiff generate`", |old| begins_with(old, MARK))?)
}

/// A trace in the making. Dropped before its end, it leaves nothing.
pub(super) struct Trace(Writer);

impl Trace {
    /// Begins a trace with a line that says how the text is made.
    pub(super) fn create(output: &Output, header: &impl Serialize) -> Result<Self> {
        let mut trace = Self(output.create()?);
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
            "rejected": choices(&report.rejected),
            "compute": compute,
        }))
    }

    /// Gives the trace its name.
    pub(super) fn finish(self) -> Result<()> {
        Ok(self.0.finish()?)
    }

    fn line(&mut self, record: &Value) -> Result<()> {
        Ok(self.0.put(format!("{record}\n").as_bytes())?)
    }
}
