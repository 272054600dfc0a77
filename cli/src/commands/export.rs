//! `drdiff export`: a checkpoint as a small GGUF file for CPUs.

use std::path::PathBuf;

use anyhow::Result;
use candle_core::{Device, Tensor};
use clap::Args;
use drdiff_kernels::Loaded;
use drdiff_model::{save_gguf, write_atomically};

use crate::exit::{self, Exit, usage};
use crate::model::{Source, TOKENIZER};
use crate::output::{grouped, tell};

const EXAMPLES: &str = "\
Example:
  drdiff export run -o tales/model.gguf --with-tokenizer
";

/// Arguments of `drdiff export`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(crate) struct ExportArgs {
    /// Folder of a run, or a safetensors file
    checkpoint: PathBuf,
    /// File to write, matrices in 8 bits (Q8_0)
    #[arg(short, long, value_name = "FILE.gguf")]
    out: PathBuf,
    /// Copy the checkpoint's tokenizer.json beside it
    #[arg(long)]
    with_tokenizer: bool,
    /// No summary on stderr
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn run(args: &ExportArgs) -> Result<Exit> {
    let path = args.checkpoint.join(drdiff_training::MODEL_FILE);
    // A folder may hold an export already; it is the checkpoint that counts.
    let source = Source::find(Some(if path.is_file() { &path } else { &args.checkpoint }))?;
    let already = || {
        usage(format!(
            "{} is in few bits already; name the checkpoint it came from",
            source.path.display()
        ))
    };
    if source.is_gguf() {
        return Err(already());
    }
    let checkpoint = source.checkpoint(&Device::Cpu)?;
    let tokenizer = args
        .with_tokenizer
        .then(|| source.tokenizer(&checkpoint.metadata))
        .transpose()?;
    let mut tensors: Vec<(String, Tensor)> = Vec::with_capacity(checkpoint.tensors.len());
    for (name, tensor) in checkpoint.tensors {
        match tensor {
            Loaded::Dense(tensor) => tensors.push((name, tensor)),
            Loaded::Quantized(_) => return Err(already()),
        }
    }
    save_gguf(&args.out, &checkpoint.metadata, &tensors)?;
    if let Some(tokenizer) = tokenizer {
        write_atomically(&args.out.with_file_name(TOKENIZER), tokenizer.json())?;
    }
    if !args.quiet {
        let written = Source::find(Some(&args.out))?;
        let (before, after) = (grouped(source.size() as u64), grouped(written.size() as u64));
        tell(&format_args!(
            "{}: {after} bytes, from {before}; hash {}",
            args.out.display(),
            written.hash()
        ));
    }
    Ok(Exit::Done)
}
