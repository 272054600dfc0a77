//! `drdiff data`: text files to a tokenizer and token shards, texts to learn retrieval from, and requests for a model that writes its own text.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use clap::{Args, Subcommand};
use drdiff_data::{
    Manifest, OPENINGS, PrepareOptions, Progress, RequestKind, Split, Stage, TokenizerChoice, VALID_SHARE,
    made_request, prepare, recall_text,
};
use drdiff_files::Output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::at_least_one;
use crate::exit::{self, Exit};
use crate::interrupt;
use crate::lengths::length;
use crate::output::{counted, grouped, remark, tell};

const EXAMPLES: &str = "\
Examples:
  drdiff data prepare books/*.jsonl.zst notes.txt -o shards
  drdiff data prepare more.txt -o more --tokenizer shards/tokenizer.json --valid held-out.txt
  drdiff data prepare chats.jsonl -o chats --tokenizer SmolLM2-135M-Instruct.gguf
  drdiff data prepare own.jsonl -o own --tokenizer SmolLM2-135M-Instruct.gguf --repeats 0.25
";

const RECALL_EXAMPLES: &str = "\
Examples:
  drdiff data recall -o recall.jsonl --texts 20000 --bytes 1024
  drdiff data prepare recall.jsonl -o shards --vocab 257          a token a byte
";

const REQUESTS_EXAMPLES: &str = "\
Examples:
  drdiff data requests -n 40000 --seed 1 -o requests.jsonl
  drdiff batch requests.jsonl -o own --temperature 1 --frequency-penalty 0.5
";

/// Arguments of `drdiff data`.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// Make token shards out of .txt and .jsonl files, as they are or packed (.gz, .zst)
    Prepare(PrepareArgs),
    /// Write texts that say numbers and ask for them later, to learn retrieval from
    Recall(RecallArgs),
    /// Make up messages and first words of texts, for a language model that writes its own training text by `drdiff batch`
    Requests(RequestsArgs),
}

#[derive(Debug, Args)]
#[command(after_help = format!("{REQUESTS_EXAMPLES}\n{}", exit::HELP))]
struct RequestsArgs {
    /// File to write, .jsonl; it must not exist
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Requests; more of them begin with the same ones
    #[arg(short = 'n', long, value_name = "N", value_parser = at_least_one(), default_value_t = 10_000)]
    requests: usize,
    /// Share of the requests that are first words of a text; the others are messages of a user
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, default_value_t = OPENINGS)]
    openings: f64,
    /// Decides the requests
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Debug, Args)]
#[command(after_help = format!("{RECALL_EXAMPLES}\n{}", exit::HELP))]
struct RecallArgs {
    /// File to write, .jsonl; it must not exist
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Texts
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 10_000)]
    texts: usize,
    /// Bytes of a text, such as 1024 or 4k; numbers are said in the first half and asked for in the second
    #[arg(long, value_name = "N", value_parser = length, default_value = "4k")]
    bytes: usize,
    /// Numbers in a text
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 16)]
    needles: usize,
    /// Decides the texts
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
struct PrepareArgs {
    /// Text to learn from: .txt, or .jsonl with the fields text (or messages), title and tier, or records of `drdiff batch`; as they are or
    /// packed (.gz, .zst)
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Folder to write; it must not exist
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
    /// Replace the folder if it exists, was written by this command and holds nothing else
    #[arg(long)]
    overwrite: bool,
    /// Use this tokenizer.json, or that of a language model (a folder, or a GGUF file), instead of learning one
    #[arg(long, value_name = "FILE|FOLDER", conflicts_with = "vocab")]
    tokenizer: Option<PathBuf>,
    #[arg(long, value_name = "N", help = format!("Size of the vocabulary to learn [default: {}]", default_vocab()))]
    vocab: Option<usize>,
    /// Text to measure on, never learned from
    #[arg(long, value_name = "FILE", num_args = 1..)]
    valid: Vec<PathBuf>,
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, help = format!(
        "Share of the documents that is kept for measuring [default: {VALID_SHARE} without --valid, more of a small corpus; none with it]",
    ))]
    valid_share: Option<f64>,
    #[arg(long, value_name = "P", allow_negative_numbers = true, help = format!(
        "Probability that a document shows its title [default: {}]", PrepareOptions::default().title_probability,
    ))]
    title_probability: Option<f64>,
    /// Leave out documents in which more than this share of the 4-grams of tokens repeats an earlier one [default: keep all]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    repeats: Option<f64>,
    #[arg(long, help = format!("Decides titles, split and sample [default: {}]", PrepareOptions::default().seed))]
    seed: Option<u64>,
    /// No progress and no summary on stderr
    #[arg(short, long)]
    quiet: bool,
}

fn default_vocab() -> usize {
    match PrepareOptions::default().tokenizer {
        TokenizerChoice::Train { vocab_size } => vocab_size,
        TokenizerChoice::Reuse(_) => 0,
    }
}

pub(crate) fn run(args: DataArgs) -> Result<Exit> {
    match args.command {
        DataCommand::Prepare(args) => prepared(args),
        DataCommand::Recall(args) => recall(&args),
        DataCommand::Requests(args) => requests(&args),
    }
}

fn requests(args: &RequestsArgs) -> Result<Exit> {
    let out = Output::claim::<PathBuf>(&args.out, &[])?.new_only()?;
    let mut lines = String::new();
    for index in 0..args.requests as u64 {
        let made = made_request(args.seed, index, args.openings)?;
        let field = match made.kind {
            RequestKind::Opening => "prompt",
            RequestKind::Story | RequestKind::Essay => "chat",
        };
        lines += &serde_json::json!({ "id": made.id, field: made.text }).to_string();
        lines.push('\n');
    }
    out.write(lines.as_bytes())?;
    Ok(Exit::Done)
}

fn recall(args: &RecallArgs) -> Result<Exit> {
    let out = Output::claim::<PathBuf>(&args.out, &[])?.new_only()?;
    let mut lines = String::new();
    for index in 0..args.texts as u64 {
        let text = recall_text(args.seed, index, args.bytes, args.needles)?;
        lines += &serde_json::json!({ "text": text }).to_string();
        lines.push('\n');
    }
    out.write(lines.as_bytes())?;
    Ok(Exit::Done)
}

fn prepared(args: PrepareArgs) -> Result<Exit> {
    let stop = interrupt::flag();
    let bar = Bar::new(args.quiet);
    let manifest = prepare(&args.files, &args.valid, &args.out, &options(&args), &mut |progress| {
        bar.show(progress, &stop)
    })?;
    bar.0.finish_and_clear();
    if !args.quiet {
        summarise(&args, &manifest);
    }
    Ok(Exit::Done)
}

fn options(args: &PrepareArgs) -> PrepareOptions {
    let default = PrepareOptions::default();
    let tokenizer = match (&args.tokenizer, args.vocab) {
        (Some(path), _) => TokenizerChoice::Reuse(path.clone()),
        (None, Some(vocab_size)) => TokenizerChoice::Train { vocab_size },
        (None, None) => default.tokenizer,
    };
    PrepareOptions {
        tokenizer,
        title_probability: args.title_probability.unwrap_or(default.title_probability),
        valid_share: args.valid_share,
        repeats: args.repeats,
        seed: args.seed.unwrap_or(default.seed),
        overwrite: args.overwrite,
        default_tier: default.default_tier,
    }
}

struct Bar(ProgressBar);

impl Bar {
    fn new(quiet: bool) -> Self {
        const TEMPLATE: &str = "{prefix:20} [{wide_bar}] {bytes}/{total_bytes}, {eta} left, {msg}";
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(ProgressBar::with_draw_target(Some(0), target).with_style(style.progress_chars("=> ")))
    }

    fn show(&self, progress: Progress, stop: &AtomicBool) -> ControlFlow<()> {
        let Progress {
            stage,
            done,
            total,
            documents,
            tokens,
        } = progress;
        let name = match stage {
            Stage::Sample => "reading",
            Stage::Tokenizer => "learning the tokens",
            Stage::Encode => "encoding",
        };
        if self.0.prefix() != name {
            self.0.set_prefix(name);
            self.0.reset();
        }
        self.0.set_length(total);
        self.0.set_position(done);
        self.0
            .set_message(format!("{} documents, {} tokens", grouped(documents), grouped(tokens)));
        if stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// Windows of this length are common: a tier that is shorter may take no part in training.
const WINDOW: u64 = 1024;

fn summarise(args: &PrepareArgs, manifest: &Manifest) {
    let documents = |split| manifest.shards(split).values().map(|shard| shard.documents).sum();
    let part = |split| {
        format!(
            "{} tokens in {} documents",
            grouped(manifest.tokens(split)),
            grouped(documents(split))
        )
    };
    let by_default = args.valid.is_empty() && args.valid_share.is_none() && manifest.tokens(Split::Valid) > 0;
    tell(&format_args!(
        "{}: {} to learn from, {} to measure on{}, vocabulary {}",
        args.out.display(),
        part(Split::Train),
        part(Split::Valid),
        if by_default {
            " (kept by default; --valid-share chooses)"
        } else {
            ""
        },
        grouped(manifest.tokenizer.vocab_size as u64),
    ));
    for (count, why) in [
        (manifest.repeating_documents, "they repeat themselves"),
        (
            manifest.cut_conversations,
            "their last answer was cut off at the limit of its length",
        ),
    ] {
        if count > 0 {
            remark(false, &format!("left out: {}; {why}", counted(count, "document")));
        }
    }
    for sentence in doubts(args, manifest) {
        remark(false, &sentence);
    }
}

/// What training will say of the corpus.
fn doubts(args: &PrepareArgs, manifest: &Manifest) -> Vec<String> {
    let mut doubts = Vec::new();
    let (asked, found) = (args.vocab.unwrap_or_else(default_vocab), manifest.tokenizer.vocab_size);
    if args.tokenizer.is_none() && found < asked {
        doubts.push(format!(
            "the text gives a vocabulary of {found}, fewer than {asked}; train with --set model.vocab={found}"
        ));
    }
    for (tier, shard) in manifest.shards(Split::Train) {
        if shard.tokens < WINDOW {
            let tokens = grouped(shard.tokens);
            doubts.push(format!(
                "the tier `{tier}` has {tokens} tokens to learn from; training leaves a tier out that is shorter than its windows, and needs one that is not"
            ));
        }
    }
    if manifest.tokens(Split::Valid) == 0 {
        doubts.push(
            "nothing is kept to measure on, so training will not measure; give more documents, or text with --valid"
                .to_owned(),
        );
    }
    doubts
}
