//! `drdiff export`: a checkpoint as a small GGUF file for CPUs.

use std::path::{Path, PathBuf};

use anyhow::Result;
use candle_core::{Device, Tensor};
use clap::{Args, ValueEnum};
use drdiff::{Source, TOKENIZER, files_of, place_of_tokenizer};
use drdiff_files::{Output, begins_with};
use drdiff_model::{MatrixFormat, Metadata, Pretrained, gguf_bytes, read_head, require_fit};

use crate::exit::{self, Exit, usage};
use crate::model::find;
use crate::output::{grouped, tell};

const EXAMPLES: &str = "\
Examples:
  drdiff export run -o tales/model.gguf --with-tokenizer
  drdiff export run -o tales/small.gguf --quant q4_k
  drdiff export tales/model.gguf -o small/model.gguf --quant q4_0 --with-tokenizer
";

/// Arguments of `drdiff export`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(crate) struct ExportArgs {
    /// Folder of a run, a safetensors file, an export in q8_0 to be made smaller, or a language model of others
    checkpoint: PathBuf,
    /// File to write
    #[arg(short, long, value_name = "FILE.gguf")]
    out: PathBuf,
    /// Bits of the matrices
    #[arg(long, value_enum, default_value_t = Quant::Q8, value_name = "FORMAT")]
    quant: Quant,
    /// Copy the checkpoint's tokenizer.json beside it, and its chat template
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
    /// 5.5 bits a number where rows are a multiple of 32 long, as in the next two
    #[value(name = "q5_0")]
    Q5_0,
    /// 5 bits a number; the embedding table 8.5
    #[value(name = "q4_1")]
    Q4_1,
    /// 4.5 bits a number; the embedding table 8.5
    #[value(name = "q4_0")]
    Q4_0,
    /// 4.5 bits a number where rows are a multiple of 256 long, 8.5 elsewhere
    #[value(name = "q4_k")]
    Q4K,
}

impl From<Quant> for MatrixFormat {
    fn from(quant: Quant) -> Self {
        match quant {
            Quant::Q8 => Self::Q8_0,
            Quant::Q4K => Self::Q4K,
            Quant::Q4_0 => Self::Q4_0,
            Quant::Q4_1 => Self::Q4_1,
            Quant::Q5_0 => Self::Q5_0,
        }
    }
}

pub(crate) fn run(args: &ExportArgs) -> Result<Exit> {
    let path = args.checkpoint.join(drdiff_training::MODEL_FILE);
    // A folder may hold an export already; it is the checkpoint that counts.
    let is_run = path.is_file() && !Pretrained::is_at(&args.checkpoint);
    let path = if is_run { &path } else { &args.checkpoint };
    let out = Output::claim(&args.out, &files_of(Some(path)))?;
    let beside = args.out.with_file_name(TOKENIZER);
    if args.with_tokenizer && (out.is_stream() || drdiff_files::same(&args.out, &beside)) {
        return Err(usage(format!(
            "{} leaves no place for a tokenizer beside it; name another file, or leave --with-tokenizer out",
            args.out.display()
        )));
    }
    let source = find(Some(path), args.quiet)?;
    let checkpoint = source.model(&Device::Cpu)?;
    let words = match args.with_tokenizer {
        true => tokenizer_files(&source, &checkpoint.metadata)?,
        false => Vec::new(),
    };
    let place = |(name, content): (&str, Vec<u8>)| {
        let place = place_of_tokenizer(&args.out.with_file_name(name), &content)?;
        Ok(place.map(|place| (place, content)))
    };
    let words: Vec<_> = words.into_iter().map(place).collect::<Result<_>>()?;
    let (metadata, format) = (checkpoint.metadata, MatrixFormat::from(args.quant));
    let out = out.over("earlier export of this model", |old| is_earlier(old, &metadata))?;
    let mut tensors: Vec<(String, Tensor)> = Vec::with_capacity(checkpoint.tensors.len());
    for (name, tensor) in checkpoint.tensors {
        let numbers = format.wider(tensor)?.ok_or_else(|| {
            usage(format!(
                "{} is in few bits already; name the checkpoint it came from",
                source.path.display()
            ))
        })?;
        tensors.push((name, numbers));
    }
    require_fit(&metadata, &tensors).map_err(|error| {
        usage(format!(
            "{} is not the model that its header describes ({error}); name the weights of a model, such as the {} of a run",
            source.path.display(),
            drdiff_training::MODEL_FILE
        ))
    })?;
    let bytes = gguf_bytes(&metadata, &tensors, format)?;
    out.write(&bytes)?;
    for (place, content) in words.into_iter().flatten() {
        place.write(&content)?;
    }
    if !args.quiet {
        let (before, after) = (grouped(source.size() as u64), grouped(bytes.len() as u64));
        tell(&format_args!(
            "{}: {after} bytes, from {before}; hash {}",
            args.out.display(),
            blake3::hash(&bytes).to_hex()
        ));
    }
    Ok(Exit::Done)
}

/// Names and contents of the files that hold a model's tokenizer and, if it holds conversations, its chat template.
fn tokenizer_files(source: &Source, metadata: &Metadata) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let tokenizer = source.tokenizer(metadata)?;
    let mut files = source.words()?.beside();
    files.push((TOKENIZER, tokenizer.json().to_vec()));
    Ok(files)
}

/// Whether a file is an export of the model at this step or an earlier one, which its checkpoint can make again.
fn is_earlier(path: &Path, model: &Metadata) -> bool {
    let old = begins_with(path, b"GGUF").then(|| read_head(path)).flatten();
    old.is_some_and(|old| {
        (&old.config, &old.tokenizer_hash) == (&model.config, &model.tokenizer_hash) && old.step <= model.step
    })
}
