//! `drdiff export`: a checkpoint as a small GGUF file for CPUs.

use std::path::PathBuf;

use anyhow::Result;
use candle_core::{Device, Tensor};
use clap::{Args, ValueEnum};
use drdiff_kernels::Loaded;
use drdiff_model::{MatrixFormat, save_gguf_as, write_atomically};

use crate::exit::{self, Exit, usage};
use crate::model::{Source, TOKENIZER};
use crate::output::{grouped, tell};

const EXAMPLES: &str = "\
Examples:
  drdiff export run -o tales/model.gguf --with-tokenizer
  drdiff export run -o tales/small.gguf --quant q4_k
";

/// Arguments of `drdiff export`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(crate) struct ExportArgs {
    /// Folder of a run, or a safetensors file
    checkpoint: PathBuf,
    /// File to write
    #[arg(short, long, value_name = "FILE.gguf")]
    out: PathBuf,
    /// Bits of the matrices
    #[arg(long, value_enum, default_value_t = Quant::Q8, value_name = "FORMAT")]
    quant: Quant,
    /// Copy the checkpoint's tokenizer.json beside it
    #[arg(long)]
    with_tokenizer: bool,
    /// No summary on stderr
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Quant {
    /// 8.5 bits a number
    #[value(name = "q8_0")]
    Q8,
    /// 4.5 bits a number where rows are a multiple of 256 long, 8.5 elsewhere
    #[value(name = "q4_k")]
    Q4,
}

impl From<Quant> for MatrixFormat {
    fn from(quant: Quant) -> Self {
        match quant {
            Quant::Q8 => Self::Q8_0,
            Quant::Q4 => Self::Q4K,
        }
    }
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
    save_gguf_as(&args.out, &checkpoint.metadata, &tensors, args.quant.into())?;
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
