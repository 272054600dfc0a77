//! `drdiff eval`: a model on held-out text, and texts by what can be measured of them.

mod args;
mod bound;
mod recall;
mod table;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use drdiff_data::Tokenizer;
use drdiff_data::documents;
use drdiff_evaluation::Judge;
use drdiff_evaluation::distance::Human;
use drdiff_evaluation::features::MiniLm;
use drdiff_evaluation::metrics::{Memorisation, Memory};
use drdiff_evaluation::recall::Recalled;
use drdiff_evaluation::texts::{Measures, Reading, Row, TextSet, context_gain, documents_of, judge_texts, ranks};
use drdiff_files::{Output, begins_with};
use drdiff_kernels::device;
use drdiff_model::{BlockBound, Difficulty};
use serde::Serialize;

pub(crate) use args::EvalArgs;

use drdiff::files_of;

use crate::exit::{Exit, usage};
use crate::model::find;
use crate::output::{Out, complain, remark, tell};
use crate::{COMMIT, interrupt, judge};

/// How the file of the measurements begins.
const MARK: &[u8] = b"{\n  \"command\": ";

/// Everything that was measured.
#[derive(Debug, Serialize)]
struct Measured {
    command: String,
    commit: &'static str,
    model: String,
    model_hash: String,
    judge: Option<String>,
    windows: usize,
    window: usize,
    /// Share of the routed experts that ran for the bounds, if it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    compute: Option<f64>,
    bounds: Vec<BlockBound>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    difficulty: Vec<Difficulty>,
    recall: Vec<Recalled>,
    texts: Vec<Ranked>,
}

/// A row with its place among those that it may be compared with.
#[derive(Debug, Serialize)]
struct Ranked {
    rank: Option<usize>,
    #[serde(flatten)]
    row: Row,
}

pub(crate) fn run(args: &EvalArgs) -> Result<Exit> {
    let report = args.out.as_deref().map(|path| claim(path, args)).transpose()?;
    let source = find(args.model.as_deref(), args.quiet)?;
    let device = device(args.device)?;
    let (network, tokenizer) = source.load_changed(&device, &args.set)?;
    let mut judge = judge::open(args.judge.as_deref(), &device, args.quiet)?;
    let features = judge::features(args.features.as_deref())?;
    let stop = interrupt::flag();
    let mut measured = Measured {
        command: std::env::args().collect::<Vec<_>>().join(" "),
        commit: COMMIT,
        model: source.path.display().to_string(),
        model_hash: source.hash(),
        judge: judge.as_ref().map(|judge| judge.name().to_owned()),
        windows: 0,
        window: args.window.unwrap_or(network.config().context),
        compute: args.compute,
        bounds: Vec::new(),
        difficulty: Vec::new(),
        recall: Vec::new(),
        texts: Vec::new(),
    };
    if !args.text.is_empty() && !bound::bounds(args, &network, &tokenizer, &stop, &mut measured)? {
        return Ok(interrupted(args.quiet));
    }
    let Some(rows) = rows(args, &tokenizer, judge.as_deref_mut(), features.as_ref(), &stop)? else {
        return Ok(interrupted(args.quiet));
    };
    if !args.recall.is_empty() && !recall::recalls(args, network, tokenizer, &stop, &mut measured)? {
        return Ok(interrupted(args.quiet));
    }
    let malformed = rows.iter().any(|row| !row.malformed.is_empty());
    let places = ranks(&rows);
    measured.texts = places
        .into_iter()
        .zip(rows)
        .map(|(rank, row)| Ranked { rank, row })
        .collect();
    if let Some(report) = &report {
        report.write((serde_json::to_string_pretty(&measured)? + "\n").as_bytes())?;
    }
    let mut out = Out::default();
    if args.json {
        out.json(&measured)?;
    } else {
        out.text(&table::of(&measured))?;
    }
    Ok(if malformed { Exit::SomeFailed } else { Exit::Done })
}

/// The file for the measurements: no file that is read, and none that holds anything else than earlier ones.
fn claim(path: &Path, args: &EvalArgs) -> Result<Output> {
    let texts = args.texts.iter().chain(&args.text).chain(&args.training_text);
    let mut inputs: Vec<PathBuf> = texts.chain(&args.human).chain(&args.judge).cloned().collect();
    inputs.extend(files_of(args.model.as_deref()));
    inputs.extend(files_of(args.judge.as_deref()));
    let output = Output::claim(path, &inputs)?;
    Ok(output.over("report of `drdiff eval`", |old| begins_with(old, MARK))?)
}

fn interrupted(quiet: bool) -> Exit {
    remark(quiet, "interrupted; nothing was written");
    Exit::Interrupted
}

/// The rows of all sets of texts, human text last; nothing if it was interrupted.
fn rows(
    args: &EvalArgs,
    tokenizer: &Tokenizer,
    mut judge: Option<&mut (dyn Judge + 'static)>,
    features: Option<&MiniLm>,
    stop: &AtomicBool,
) -> Result<Option<Vec<Row>>> {
    let mut sets = args
        .texts
        .iter()
        .map(|path| TextSet::read(path))
        .collect::<Result<Vec<_>, _>>()?;
    for set in &sets {
        for bad in &set.malformed {
            complain(&format!("{}, line {}: {}", set.name, bad.line, bad.reason));
        }
    }
    let mut measures = sets
        .iter()
        .map(|set| Measures::new(set, tokenizer))
        .collect::<Result<Vec<_>, _>>()?;
    if let (Some(path), false) = (&args.human, sets.is_empty()) {
        // As long as the texts are, for entropy grows with length.
        let lengths: Vec<usize> = measures.iter().flat_map(Measures::ids).map(<[u32]>::len).collect();
        let mean = lengths.iter().sum::<usize>() / lengths.len().max(1);
        let human = documents_of(path, tokenizer, mean.max(1), args.human_texts)?;
        measures.push(Measures::new(&human, tokenizer)?);
        sets.push(human);
    }
    let human = match (features, args.human.is_some()) {
        (Some(features), true) => sets.last().map(|set| Human::new(features, plain(set))),
        _ => None,
    };
    let human = human.transpose().map_err(|error| usage(error.to_string()))?;
    let mut memorised = memorisation(&args.training_text, &measures, tokenizer)?;
    let mut rows = Vec::with_capacity(sets.len());
    for (index, (set, measures)) in sets.iter().zip(&measures).enumerate() {
        let mut row = measures.row(set)?;
        if let Some(judge) = judge.as_deref_mut() {
            if !judged(args, set, &mut row, judge, stop)? {
                return Ok(None);
            }
            if row.prompt_unknown > 0 {
                complain(&table::of_unknown_prompts(&row));
            }
        }
        row.memorisation = memorised[index].take();
        if let Some(human) = &human {
            let is_human = index + 1 == sets.len();
            row.distances = if is_human {
                None
            } else {
                let distances = human.distances(plain(set));
                Some(distances.map_err(|error| usage(error.to_string()))?)
            };
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        rows.push(row);
    }
    Ok(Some(rows))
}

/// What a judge says of a set of texts; false if it was interrupted.
fn judged(args: &EvalArgs, set: &TextSet, row: &mut Row, judge: &mut dyn Judge, stop: &AtomicBool) -> Result<bool> {
    let mut told = |read: usize, all: usize| {
        if !args.quiet && read.is_multiple_of(16) {
            tell(&format_args!("{}: text {} of {all}", set.name, read + 1));
        }
    };
    let count = if args.by_quarter { 4 } else { 0 };
    let quarters: Vec<TextSet> = (0..count).map(|index| set.quarter(index)).collect();
    let mut judged = Vec::with_capacity(1 + count);
    for set in std::iter::once(set).chain(&quarters) {
        match judge_texts(set, judge, stop, &mut told)? {
            Reading::Read(perplexity) => judged.push(perplexity),
            Reading::Stopped => return Ok(false),
        }
    }
    row.perplexity_by_quarter = args.by_quarter.then(|| judged.split_off(1));
    row.perplexity = judged.pop().flatten();
    row.context_gain = match context_gain(set, judge, stop, &mut told)? {
        Reading::Read(gain) => gain,
        Reading::Stopped => return Ok(false),
    };
    Ok(true)
}

/// The texts of a set.
fn plain(set: &TextSet) -> impl Iterator<Item = &str> {
    set.texts.iter().map(|text| text.text.as_str())
}

/// What of each set of texts stands in the training text, which is read once for all of them.
fn memorisation(
    files: &[impl AsRef<Path>],
    measures: &[Measures],
    tokenizer: &Tokenizer,
) -> Result<Vec<Option<Memorisation>>> {
    if files.is_empty() {
        return Ok(vec![None; measures.len()]);
    }
    let mut memories: Vec<_> = measures.iter().map(|one| Memory::of(one.ids().into_iter())).collect();
    for file in files {
        for document in documents(file.as_ref())? {
            let ids = tokenizer.encode(&document?.text)?;
            memories.iter_mut().for_each(|memory| memory.read(&ids));
        }
    }
    Ok(memories.into_iter().map(|memory| Some(memory.finish())).collect())
}
