//! A weights file in words.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use candle_core::Device;
use drdiff_kernels::Loaded;
use drdiff_model::Metadata;
use drdiff_training::{MODEL_FILE, is_state};
use serde::Serialize;

use crate::model::find;
use crate::output::grouped;

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    path: String,
    kind: Kind,
    bytes: usize,
    /// blake3 of the file.
    hash: String,
    parameters: usize,
    metadata: Metadata,
    tensors: Vec<TensorRow>,
}

/// What a weights file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Writing, and all that reads a model.
    Model,
    /// The same, and made by others.
    LanguageModel,
    /// Going on with a run.
    State,
}

#[derive(Debug, Serialize)]
struct TensorRow {
    name: String,
    dtype: String,
    shape: Vec<usize>,
}

pub(super) fn read(path: Option<&Path>) -> Result<Summary> {
    let source = find(path, false)?;
    let checkpoint = source.checkpoint(&Device::Cpu)?;
    let row = |(name, tensor)| {
        let (dtype, shape) = match &tensor {
            Loaded::Dense(tensor) => (tensor.dtype().as_str().to_owned(), tensor.dims().to_vec()),
            Loaded::Quantized(tensor) => (
                format!("{:?}", tensor.dtype()).to_lowercase(),
                tensor.shape().dims().to_vec(),
            ),
        };
        TensorRow { name, dtype, shape }
    };
    let kind = match is_state(checkpoint.tensors.keys().map(String::as_str)) {
        true => Kind::State,
        false if source.is_foreign() => Kind::LanguageModel,
        false => Kind::Model,
    };
    let tensors: Vec<TensorRow> = checkpoint.tensors.into_iter().map(row).collect();
    Ok(Summary {
        path: source.path.display().to_string(),
        kind,
        bytes: source.size(),
        hash: source.hash(),
        parameters: tensors.iter().map(TensorRow::elements).sum(),
        metadata: checkpoint.metadata,
        tensors,
    })
}

impl TensorRow {
    fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

pub(super) fn describe(summary: &Summary) -> String {
    let Metadata {
        config,
        step,
        tokens,
        tokenizer_hash,
        commit,
        ..
    } = &summary.metadata;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "{name:<18}{value}");
    };
    match summary.kind {
        Kind::Model => line("model", &summary.path),
        Kind::LanguageModel => line("language model", &summary.path),
        Kind::State => {
            line("state of a run", &summary.path);
            let whole = format_args!("going on with `drdiff train --resume`; the model is {MODEL_FILE}").to_string();
            line("for", &whole);
        }
    }
    line("bytes", &grouped(summary.bytes as u64));
    line("hash", &summary.hash);
    line("parameters", &grouped(summary.parameters as u64));
    if summary.kind != Kind::LanguageModel {
        line("step", &grouped(*step));
        line("tokens seen", &grouped(*tokens));
        line("written by", &format_args!("revision {commit}"));
    }
    line("tokenizer", tokenizer_hash);
    if let Ok(serde_json::Value::Object(settings)) = serde_json::to_value(config) {
        settings.iter().for_each(|(name, value)| line(name, value));
    }
    let width = summary
        .tensors
        .iter()
        .map(|row| row.name.len())
        .max()
        .unwrap_or(0)
        .max(6);
    let _ = writeln!(text, "\n{:<width$}  {:<6}{:>14}  shape", "tensor", "type", "elements");
    for row in &summary.tensors {
        let elements = grouped(row.elements() as u64);
        let shape = row.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
        let _ = writeln!(text, "{:<width$}  {:<6}{elements:>14}  {shape}", row.name, row.dtype);
    }
    text
}
