//! `drdiff sweep`: the same prompts and noise under many settings, and a report on them.

mod args;
mod dry;
mod models;
mod progress;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use drdiff_evaluation::Judge;
use drdiff_evaluation::distance::Human;
use drdiff_jobs::report::{Report, verdict};
use drdiff_jobs::sweep::{
    self, CellResult, Judged, ModelId, Outcome, Place, Plan, Provenance, REPORT, Runner, SweepConfig, TextRecord,
};
use drdiff_kernels::device;

pub(crate) use args::SweepArgs;
use drdiff::kind_of;

use crate::exit::{Exit, usage};
use crate::{COMMIT, interrupt, judge, settings};
use models::Model;
use progress::View;

pub(crate) fn run(args: &SweepArgs) -> Result<Exit> {
    let mut config: SweepConfig = settings::resolve(Some(&args.config), &args.set)?.value;
    if let Some(reference) = &args.reference {
        config.reference = Some(reference.clone());
    }
    if let Some(out) = &args.out {
        let named = [
            Some(Path::new(&args.config)),
            config.prompt_file.as_deref(),
            config.reference.as_deref(),
        ];
        let inputs: Vec<&Path> = named.into_iter().flatten().collect();
        drdiff_files::apart(sweep::outputs(out), &inputs)?;
        if !args.dry_run {
            Runner::look(out)?;
        }
    }
    let mut plan = config.plan(kind_of(None))?;
    let prompts = config.read_prompts()?;
    let device = device(args.device)?;
    let mut models = models::load(&mut plan, config.batch, &device, args.quiet)?;
    let texts = prompts.len() * config.texts * config.seeds.len();
    let out = match &args.out {
        _ if args.dry_run => return dry::list(&plan, &models, &prompts, texts),
        Some(out) => out,
        None => return Err(usage("there is no folder for the report; name one with -o")),
    };
    let mut judge = match &args.judge {
        Some(path) => judge::open(Some(path), &device, args.quiet)?,
        None => judge::relative(&device)?,
    };
    let features = judge::features(args.features.as_deref())?;
    let human = match (&features, &config.reference, models.first()) {
        (Some(features), Some(path), Some(model)) => {
            let texts = sweep::human_texts(path, model.engine.tokenizer(), config.tokens()?)?;
            Some((features, texts))
        }
        (Some(_), None, _) => return Err(usage("distances need human text; name some with --reference")),
        _ => None,
    };
    let reference = match (&config.reference, models.first()) {
        (Some(path), Some(model)) => Some(sweep::reference(path, model.engine.tokenizer(), config.tokens()?)?),
        _ => None,
    };

    let stop = interrupt::flag();
    let provenance = Provenance {
        device: crate::device::name(args.device),
        commit: COMMIT.to_owned(),
    };
    let mut runner = Runner::open(out, config.clone(), prompts.clone(), provenance)?;
    let (missing, due) = due(&runner, &plan, &models)?;
    let mut view = View::new(args.quiet, plan.cells.len(), missing, due);
    let Some(failed) = write(&mut runner, &plan, &mut models, &stop, &mut view)? else {
        view.end("interrupted; the same command goes on from here");
        return Ok(Exit::Interrupted);
    };

    let ids: Vec<&ModelId> = models.iter().map(|model| &model.id).collect();
    let judged = match &mut judge {
        Some(judge) => match read(&runner, &plan, &ids, judge.as_mut(), out, &stop, &view)? {
            Some(judged) => Some(judged),
            None => {
                view.end("interrupted; the same command goes on from here");
                return Ok(Exit::Interrupted);
            }
        },
        None => None,
    };
    let mut results: Vec<CellResult<'_>> = plan
        .cells
        .iter()
        .filter_map(|cell| CellResult::new(&runner, cell, id_of(&ids, &cell.model)?, judged.as_ref()))
        .collect();
    // Reading human text takes as long as many cells do: it waits until the texts are there.
    let human = human.map(|(features, set)| Human::new(features, set.texts.iter().map(|text| text.text.as_str())));
    let human = human.transpose().map_err(|error| usage(error.to_string()))?;
    for (index, result) in results.iter_mut().enumerate() {
        let Some(human) = &human else { break };
        if stop.load(Ordering::Relaxed) {
            view.end("interrupted; the same command goes on from here");
            return Ok(Exit::Interrupted);
        }
        view.measuring(index, plan.cells.len());
        result.measure(human)?;
    }
    let report = Report {
        rows: results.iter().map(CellResult::row).collect(),
        judge: judge.as_ref().map(|judge| judge.name().to_owned()),
        related: args.judge.is_none(),
        features: human.as_ref().map(|human| human.features().to_owned()),
        reference,
        device: crate::device::name(args.device),
        prompts,
        left_out: plan.left_out.clone(),
        failed,
        facts: facts(&config, &ids, judge.as_deref(), texts)?,
    };
    let place = Place {
        device: &report.device,
        batch: config.batch,
        prompts: report.prompts.len(),
    };
    sweep::write(out, &sweep::table(&results, &report, &place), &report)?;
    let found = verdict(&report).first().cloned().unwrap_or_default();
    view.end(&format!("{found}\n{}", out.join(REPORT).display()));
    Ok(if failed > 0 { Exit::SomeFailed } else { Exit::Done })
}

/// Texts that are still to be written, and their passes at most.
fn due(runner: &Runner, plan: &Plan, models: &[Model]) -> Result<(usize, usize)> {
    let (mut missing, mut due) = (0, 0);
    for (index, cell) in plan.cells.iter().enumerate() {
        let Some(model) = models.iter().find(|model| model.id.name == cell.model) else {
            continue;
        };
        let texts = runner.missing(cell, &model.id);
        missing += texts;
        due += dry::passes(plan, index, models, runner.prompts())? * texts / runner.prompts().len().max(1);
    }
    Ok((missing, due))
}

/// Writes all texts; returns how many failed, or nothing if it was interrupted.
fn write(
    runner: &mut Runner,
    plan: &Plan,
    models: &mut [Model],
    stop: &AtomicBool,
    view: &mut View,
) -> Result<Option<usize>> {
    let mut failed = 0;
    for model in models {
        let mut tell = |progress: sweep::Progress<'_>| view.show(&progress);
        match runner.run(&mut model.engine, &model.id, &plan.cells, stop, &mut tell)? {
            Outcome::Finished { failed: more } => failed += more,
            Outcome::Stopped => return Ok(None),
        }
    }
    Ok(Some(failed))
}

/// Lets the judge read all texts of the plan.
fn read(
    runner: &Runner,
    plan: &Plan,
    ids: &[&ModelId],
    judge: &mut dyn Judge,
    out: &Path,
    stop: &AtomicBool,
    view: &View,
) -> Result<Option<Judged>> {
    let of_cell = |cell: &sweep::Cell| {
        id_of(ids, &cell.model)
            .map(|id| runner.texts(cell, id))
            .unwrap_or_default()
    };
    let texts: Vec<&TextRecord> = plan.cells.iter().flat_map(of_cell).collect();
    Ok(Judged::make(out, judge, &texts, stop, &mut |read, all| {
        view.judging(read, all)
    })?)
}

fn id_of<'a>(ids: &[&'a ModelId], name: &str) -> Option<&'a ModelId> {
    ids.iter().find(|id| id.name == name).copied()
}

/// What a reader needs to make the report again.
fn facts(
    config: &SweepConfig,
    ids: &[&ModelId],
    judge: Option<&dyn Judge>,
    texts: usize,
) -> Result<Vec<(String, String)>> {
    let command: Vec<String> = std::env::args().collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut facts = vec![
        ("command".to_owned(), command.join(" ")),
        (
            "program".to_owned(),
            format!("drdiff {} ({COMMIT})", env!("CARGO_PKG_VERSION")),
        ),
        ("threads".to_owned(), threads.to_string()),
    ];
    for id in ids {
        facts.push((format!("model {}", id.name), id.hash.clone()));
    }
    if let Some(judge) = judge {
        facts.push((format!("judge {}", judge.name()), judge.hash().to_owned()));
    }
    let seeds: Vec<String> = config.seeds.iter().map(ToString::to_string).collect();
    facts.push(("seeds".to_owned(), seeds.join(" ")));
    facts.push(("texts a cell".to_owned(), texts.to_string()));
    facts.push(("tokens a text, at most".to_owned(), config.tokens()?.to_string()));
    facts.push((
        "configuration".to_owned(),
        serde_json::to_string_pretty(config).unwrap_or_default(),
    ));
    Ok(facts)
}
