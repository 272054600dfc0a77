//! Sweeps with a tiny network: cells, refusals, resuming, and the files.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use drdiff_evaluation::Judge;
use drdiff_evaluation::distance::Human;
use drdiff_evaluation::features::{FeatureError, Features};
use drdiff_generation::settings::Configured;
use drdiff_generation::{Choices, Engine, NetworkKind};
use drdiff_jobs::report::Report;
use drdiff_jobs::sweep::{
    self, CellResult, Grid, Judged, ModelId, Outcome, Place, Progress, Provenance, Row, Runner, SweepConfig, TEXTS,
    human_texts,
};
use serde_json::{Value, json};

use crate::common;

fn config() -> SweepConfig {
    SweepConfig {
        prompts: vec!["ab".to_owned(), "cd".to_owned()],
        seeds: vec![3, 4],
        settings: Configured(Choices::default().with("tokens", 12).with("stop_at_end", false)),
        grid: grid(json!({ "block_size": [4, 8], "steps": [1, 2, 4] })),
        ..SweepConfig::default()
    }
}

fn grid(axes: Value) -> Grid {
    serde_json::from_value(axes).unwrap()
}

fn row(settings: Value) -> Row {
    serde_json::from_value(settings).unwrap()
}

fn model() -> ModelId {
    ModelId {
        name: "bundled".to_owned(),
        hash: "h".to_owned(),
    }
}

fn runner(folder: &Path, config: &SweepConfig) -> Runner {
    let provenance = Provenance {
        device: "cpu".to_owned(),
        commit: "c".to_owned(),
    };
    Runner::open(folder, config.clone(), config.read_prompts().unwrap(), provenance).unwrap()
}

fn engine() -> Engine {
    Engine::new(common::network(), common::tokenizer(), 1).unwrap()
}

/// Runs a sweep until it is done or has written `limit` texts.
fn run(folder: &Path, config: &SweepConfig, limit: usize) -> (Outcome, usize) {
    let (mut written, stop) = (0, AtomicBool::new(false));
    let plan = config.plan(NetworkKind::Masked).unwrap();
    let outcome = runner(folder, config).run(&mut engine(), &model(), &plan.cells, &stop, &mut |progress| {
        if let Progress::Text(_) = progress {
            written += 1;
            stop.store(written >= limit, Ordering::Relaxed);
        }
    });
    (outcome.unwrap(), written)
}

#[test]
fn cells_come_in_order_and_impossible_ones_are_told() {
    let mut config = config();
    config.grid = grid(json!({ "steps": [4, 8], "block_size": [4, 8, 16] }));
    let plan = config.plan(NetworkKind::Masked).unwrap();
    let cells: Vec<_> = plan
        .cells
        .iter()
        .map(|cell| (cell.settings.block_size, cell.settings.sampler.steps))
        .collect();
    assert_eq!(cells, [(4, 4), (8, 4), (8, 8)]);
    let reasons: Vec<&str> = plan.left_out.iter().map(|left| left.reason.as_str()).collect();
    assert!(
        reasons[0].contains("8 steps are more than an absorbing block of 4 can use"),
        "{reasons:?}"
    );
    assert!(
        reasons[1].contains("a block of 16 is longer than a text of 12 tokens"),
        "{reasons:?}"
    );
}

#[test]
fn a_solver_on_the_absorbing_path_is_one_cell_in_a_grid_and_an_error_in_a_row() {
    let mut config = config();
    config.grid = grid(json!({
        "process": ["absorbing", "gaussian"], "solver": ["ddim", "dpmpp-2m"], "block_size": [4], "steps": [4],
    }));
    let plan = config.plan(NetworkKind::Masked).unwrap();
    assert_eq!(plan.cells.len(), 3);
    assert!(
        plan.left_out[0].reason.contains("no soft positions"),
        "{:?}",
        plan.left_out
    );

    config.rows = vec![row(json!({ "solver": "sde", "block_size": 4 }))];
    let told = config.plan(NetworkKind::Masked).unwrap_err().to_string();
    assert!(
        told.contains("rows.0") && told.contains("solver changes nothing"),
        "{told}"
    );
}

#[test]
fn what_has_no_effect_or_no_sense_is_refused() {
    let chosen = |name, value: u64| Configured(config().settings.0.with(name, value));
    let told = |change: &dyn Fn(&mut SweepConfig)| {
        let mut config = config();
        change(&mut config);
        config.plan(NetworkKind::Masked).unwrap_err().to_string()
    };
    assert!(told(&|config| config.grid = grid(json!({ "compute": [1.5] }))).contains("`compute` is 1.5"));
    assert!(told(&|config| config.settings = chosen("seed", 9)).contains("seeds"));
    assert!(told(&|config| config.seeds.clear()).contains("must not be empty"));
    assert!(told(&|config| config.seeds = vec![1, 1]).contains("twice"));
    assert!(told(&|config| config.grid = grid(json!({ "steps": [2, 2] }))).contains("grid.steps"));
    assert!(told(&|config| config.grid = grid(json!({ "top_p": [1.5] }))).contains("top_p is 1.5"));
    assert!(
        told(&|config| config.grid = grid(json!({ "block_size": [99] }))).contains("no cell of the sweep can be run")
    );
}

#[test]
fn blocks_beyond_the_context_are_left_out() {
    let mut config = config();
    config.settings = Configured(config.settings.0.with("tokens", 80));
    config.grid = grid(json!({ "block_size": [8, 80] }));
    let mut plan = config.plan(NetworkKind::Masked).unwrap();
    plan.fit("bundled", &mut engine());
    assert!(plan.cells.iter().all(|cell| cell.settings.block_size == 8));
    assert!(
        plan.left_out[0]
            .reason
            .contains("bundled: a block of 80 positions is larger than the 64 that the model allows")
    );
}

#[test]
fn a_killed_sweep_goes_on_and_equals_an_undisturbed_one() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = config();
    assert_eq!(
        run(whole.path(), &config, usize::MAX),
        (Outcome::Finished { failed: 0 }, 6 * 4)
    );

    assert_eq!(run(killed.path(), &config, 5), (Outcome::Stopped, 5));
    // A crash in the middle of a line.
    let journal = killed.path().join(TEXTS);
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes.truncate(bytes.len() - 20);
    std::fs::write(&journal, bytes).unwrap();
    assert_eq!(
        run(killed.path(), &config, usize::MAX),
        (Outcome::Finished { failed: 0 }, 20)
    );
    assert_eq!(run(killed.path(), &config, usize::MAX).1, 0, "nothing is written twice");

    let texts = |folder: &Path| {
        let runner = runner(folder, &config);
        let cells = config.plan(NetworkKind::Masked).unwrap().cells;
        let of_cell = |cell| {
            runner
                .texts(cell, &model())
                .into_iter()
                .map(|text| (text.key.clone(), text.text.clone(), text.flops))
                .collect::<Vec<_>>()
        };
        cells.iter().flat_map(of_cell).collect::<Vec<_>>()
    };
    assert_eq!(texts(whole.path()), texts(killed.path()));
}

#[test]
fn a_changed_sweep_writes_only_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    run(dir.path(), &config, usize::MAX);
    config.rows = vec![row(json!({ "temperature": 0.5, "block_size": 4, "steps": 4 }))];
    assert_eq!(run(dir.path(), &config, usize::MAX).1, 4);
    config.settings = Configured(config.settings.0.with("top_p", 0.9));
    assert_eq!(
        run(dir.path(), &config, usize::MAX).1,
        7 * 4,
        "another nucleus, other texts"
    );
}

#[test]
fn noise_is_the_same_in_every_cell_and_batch() {
    let (one, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = config();
    let batched = SweepConfig {
        batch: 3,
        ..config.clone()
    };
    run(one.path(), &config, usize::MAX);
    run(many.path(), &batched, usize::MAX);
    let cell = &config.plan(NetworkKind::Masked).unwrap().cells[0];
    let slots = |folder: &Path, config: &SweepConfig| {
        let runner = runner(folder, config);
        let texts = runner.texts(cell, &model());
        texts
            .iter()
            .map(|text| (text.seed, text.request, text.ids.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(slots(one.path(), &config), slots(many.path(), &batched));
    let keys: Vec<_> = slots(one.path(), &config)
        .iter()
        .map(|(seed, request, _)| (*seed, *request))
        .collect();
    assert_eq!(keys, [(3, 0), (3, 1), (4, 0), (4, 1)]);
}

/// Finds every text a little less likely the longer it is.
struct Constant(usize);

impl Judge for Constant {
    fn name(&self) -> &str {
        "a constant"
    }

    fn hash(&self) -> &str {
        "constant"
    }

    fn context(&self) -> usize {
        1 << 20
    }

    fn encode(&self, text: &str) -> drdiff_evaluation::Result<Vec<u32>> {
        Ok(text.chars().map(u32::from).collect())
    }

    fn nats(&mut self, _before: &[u32], ids: &[u32]) -> drdiff_evaluation::Result<f64> {
        self.0 += 1;
        Ok(2.0 * ids.len() as f64)
    }
}

/// How often each of the first letters is there.
struct Letters;

impl Features for Letters {
    fn name(&self) -> &str {
        "letters"
    }

    fn hash(&self) -> &str {
        "letters"
    }

    fn embed(&self, text: &str) -> std::result::Result<Vec<f32>, FeatureError> {
        let count = |byte: u8| text.bytes().filter(|other| other % 4 == byte).count() as f32;
        Ok((0..4).map(count).collect())
    }
}

#[test]
fn cells_with_enough_texts_are_compared_with_human_text() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.grid = grid(json!({ "steps": [1], "block_size": [8] }));
    config.texts = 5;
    run(dir.path(), &config, usize::MAX);
    let lines = |count: usize| -> String {
        let line = |n: usize| {
            serde_json::json!({ "text": format!("story {n} of many {}", "abc".repeat(n % 7)) }).to_string() + "\n"
        };
        (0..count).map(line).collect()
    };
    let path = dir.path().join("human.jsonl");
    std::fs::write(&path, lines(39)).unwrap();
    let read = || human_texts(&path, &common::tokenizer(), 12);
    let told = read().unwrap_err().to_string();
    assert!(
        told.contains("39 documents of 12 tokens or more") && told.contains("need 40"),
        "{told}"
    );
    std::fs::write(&path, lines(40)).unwrap();
    let set = read().unwrap();
    let human = Human::new(&Letters, set.texts.iter().map(|text| text.text.as_str())).unwrap();

    let (runner, id) = (runner(dir.path(), &config), model());
    let plan = config.plan(NetworkKind::Masked).unwrap();
    let mut result = CellResult::new(&runner, &plan.cells[0], &id, None).unwrap();
    assert_eq!(result.row().reading.distances, None);
    result.measure(&human).unwrap();
    let distances = result.row().reading.distances.unwrap();
    assert_eq!(distances.texts, 20);
    assert!(distances.frechet > distances.frechet_floor, "{distances:?}");
    let texts = runner.texts(&plan.cells[0], &id);
    assert_eq!(sweep::distances(&human, &texts[..19]).unwrap(), None);
}

#[test]
fn a_finished_sweep_has_all_its_files_and_a_row_for_each_cell() {
    let dir = tempfile::tempdir().unwrap();
    let config = config();
    run(dir.path(), &config, usize::MAX);
    let plan = config.plan(NetworkKind::Masked).unwrap();
    let (runner, id, stop) = (runner(dir.path(), &config), model(), AtomicBool::new(false));
    let texts: Vec<_> = plan.cells.iter().flat_map(|cell| runner.texts(cell, &id)).collect();
    let mut judge = Constant(0);
    let mut judged = || {
        Judged::make(dir.path(), &mut judge, &texts, &stop, &mut |_, _| ())
            .unwrap()
            .unwrap()
    };
    judged();
    let judged = judged();
    assert_eq!(judge.0, texts.len(), "each text is judged once");

    let results: Vec<_> = plan
        .cells
        .iter()
        .filter_map(|cell| CellResult::new(&runner, cell, &id, Some(&judged)))
        .collect();
    let report = Report {
        rows: results.iter().map(CellResult::row).collect(),
        judge: Some(judge.name().to_owned()),
        related: false,
        features: None,
        reference: None,
        device: "cpu".to_owned(),
        prompts: config.prompts.clone(),
        left_out: plan.left_out.clone(),
        failed: 0,
        facts: Vec::new(),
    };
    let place = Place {
        device: "cpu",
        batch: 1,
        prompts: 2,
    };
    let table = sweep::table(&results, &report, &place);
    sweep::write(dir.path(), &table, &report).unwrap();
    for file in [
        "results.csv",
        "results.parquet",
        "report.html",
        "plots/quality_nfe.svg",
        "plots/degradation.svg",
    ] {
        assert!(dir.path().join(file).is_file(), "{file}");
    }
    assert_eq!(table.rows().len(), 6);
    let unique: std::collections::BTreeSet<_> = table.names().iter().collect();
    assert_eq!(unique.len(), table.names().len(), "names of columns are unique");
    let column = |name: &str| table.names().iter().position(|known| *known == name).unwrap();
    let first = &table.rows()[0];
    // Three blocks of 4 tokens, one step each.
    assert_eq!(first[column("nfe_per_text")].number(), Some(3.0));
    assert_eq!(first[column("nfe_per_token")].number(), Some(0.25));
    assert_eq!(first[column("tokens_canvas")].number(), Some(4.0 * 12.0));
    assert!((first[column("perplexity")].number().unwrap() - 2_f64.exp()).abs() < 1e-9);
    assert!(first[column("flops_per_text")].number() > Some(0.0));
    assert_eq!(first[column("seeds")].to_string(), "3 4");
    let flops = |row: usize| table.rows()[row][column("flops_per_text")].number().unwrap();
    assert!(
        flops(2) > 2.0 * flops(0),
        "four steps against one; taking in the block before costs both the same"
    );
}
