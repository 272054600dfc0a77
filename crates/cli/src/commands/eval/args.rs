//! What can be typed after `drdiff eval`.

use std::path::PathBuf;

use clap::Args;
use drdiff_kernels::DeviceKind;

use super::bound::BLOCK_SIZES;
use crate::args::at_least_one;
use crate::lengths::{Lengths, lengths};
use crate::{device, exit};

const EXAMPLES: &str = "\
Examples:
  drdiff eval --text held-out.jsonl                        bits a byte of the bundled model, by block size
  drdiff eval --text held-out.jsonl --model run --block-sizes 1,16,1024
  drdiff eval --text held-out.jsonl --block-sizes 1024 --set attention.plan=tree --set attention.layers=[9]
  drdiff eval --text held-out.jsonl --model run --by-position 4  what context is worth: the windows' quarters one by one
  drdiff eval --text held-out.jsonl --model run --difficulty     mean routed experts of rare and of common words
  drdiff eval --recall 1k..64k --model run                 numbers that were said long ago
  drdiff eval --recall 4k,1M --recall-whole --model run    numbers to both sides of the question
  drdiff eval out/texts.jsonl --judge smollm2.gguf         generated texts
  drdiff eval a.jsonl b.jsonl --judge smollm2.gguf --human stories.jsonl --features minilm

Rows more than 0.15 nats a token apart in entropy are never ranked. Lines that are no records are counted and reported.
";

/// Arguments of `drdiff eval`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub(crate) struct EvalArgs {
    /// Generated texts to measure: .jsonl of drdiff batch, sweep or any with a \"text\", or .txt
    #[arg(value_name = "TEXTS", required_unless_present_any = ["text", "recall"])]
    pub(super) texts: Vec<PathBuf>,
    /// Model to measure; its tokenizer counts the tokens of texts [default: that of DRDIFF_MODEL, else the bundled one]
    #[arg(long, value_name = "FOLDER|FILE")]
    pub(super) model: Option<PathBuf>,
    /// Change the model's attention or context for this measurement, such as attention.plan=tree
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Held-out text to measure the model on: .txt or .jsonl, as they are or packed (.gz, .zst)
    #[arg(long, value_name = "FILE")]
    pub(super) text: Vec<PathBuf>,
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = at_least_one(), help = format!(
        "Block sizes of the bound, which divide the windows [default: those of {} that do]", BLOCK_SIZES.map(|size| size.to_string()).join(","),
    ))]
    pub(super) block_sizes: Vec<usize>,
    /// Windows of text to measure on at most, evenly spaced
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 32)]
    pub(super) windows: usize,
    /// Tokens of a window [default: the model's context, or less where the text is shorter]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub(super) window: Option<usize>,
    /// Share of the routed experts that runs for the bound [default: the most that the model was trained at]
    #[arg(long, value_name = "SHARE")]
    pub(super) compute: Option<f64>,
    /// Report the bound of N equal parts of the windows too, from their first tokens to their last
    #[arg(long, value_name = "N", value_parser = at_least_one(), requires = "text")]
    pub(super) by_position: Option<usize>,
    /// Report what routed experts run for: rare and common words, first and last steps of blocks
    #[arg(long, requires = "text")]
    pub(super) difficulty: bool,
    /// Bytes of prompts that say a number once and ask for it at their end, as in 1k,4k or 1k..1M
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = lengths)]
    pub(super) recall: Vec<Lengths>,
    /// Places of the number in a prompt, evenly spaced from its beginning to its end
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 5)]
    pub(super) recall_depths: usize,
    /// Prompts of each length and place
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 10)]
    pub(super) recall_samples: usize,
    /// Ask for the numbers in gaps of texts that are read whole, left and right of the question, instead of at the end of a
    /// prompt that is written on
    #[arg(long, requires = "recall")]
    pub(super) recall_whole: bool,
    /// Numbers that a text says; more than one of them distract
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 1, requires = "recall_whole")]
    pub(super) recall_needles: usize,
    /// How many of those are asked for
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 1, requires = "recall_whole")]
    pub(super) recall_asked: usize,
    /// Keys that stand for another on the way from each question to its number
    #[arg(long, value_name = "N", default_value_t = 0, requires = "recall_whole")]
    pub(super) recall_hops: usize,
    /// Texts of each length that the prompts are written into
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 4, requires = "recall_whole")]
    pub(super) recall_haystacks: usize,
    /// What scores the texts: a language model in GGUF or as a folder with safetensors, or a model of this program; without, nothing is
    /// ranked
    #[arg(long, value_name = "FILE|FOLDER")]
    pub(super) judge: Option<PathBuf>,
    /// Let the judge read each quarter of the texts apart, behind what stands before it: do they decay?
    #[arg(long, requires = "judge")]
    pub(super) by_quarter: bool,
    /// Human text to stand beside: the openings of its documents, as long as the texts are
    #[arg(long, value_name = "FILE")]
    pub(super) human: Option<PathBuf>,
    /// Documents of human text at most
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 100)]
    pub(super) human_texts: usize,
    /// Folder of all-MiniLM-L6-v2, for distances to the human text
    #[arg(long, value_name = "FOLDER", requires = "human")]
    pub(super) features: Option<PathBuf>,
    /// Text that the model learned from, to find what was copied: .txt or .jsonl, as they are or packed (.gz, .zst)
    #[arg(long, value_name = "FILE")]
    pub(super) training_text: Vec<PathBuf>,
    /// Where the model computes: cpu, cuda or cuda:N
    #[arg(long, value_parser = device::parse, default_value = "cpu")]
    pub(super) device: DeviceKind,
    /// Print one JSON object instead of tables
    #[arg(long)]
    pub(super) json: bool,
    /// Write the JSON object to this file too
    #[arg(short, long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// No progress on stderr
    #[arg(short, long)]
    pub(super) quiet: bool,
}
