//! `drdiff sweep`: from a file to a report.

use std::fs;
use std::path::Path;
use std::process::Command;

use drdiff_configs::{Inputs, presets};
use drdiff_generation::{Choices, NetworkKind, Settings};
use drdiff_jobs::sweep::{Cell, SweepConfig};

use crate::fixture::{RunExt, drdiff, fixture};

const SWEEP: &str = "\
prompts: [\"The old king\"]
seeds: [1, 2]
settings: {tokens: 8, stop_at_end: false}
grid:
  block_size: [4, 8]
  steps: [1, 4]
";

fn sweep(dir: &Path, more: &[&str]) -> Command {
    let file = dir.join("mine.yaml");
    if !file.exists() {
        fs::write(&file, SWEEP).unwrap();
    }
    let mut command = drdiff();
    command.arg("sweep").arg(file).arg("-o").arg(dir.join("out"));
    command
        .arg("--set")
        .arg(format!("model={:?}", fixture().model().display().to_string()));
    command.args(more);
    command
}

#[test]
fn a_sweep_writes_its_report_and_reuses_what_is_done() {
    let dir = tempfile::tempdir().unwrap();
    sweep(dir.path(), &[]).run().succeeds();
    let out = dir.path().join("out");
    let html = fs::read_to_string(out.join("report.html")).unwrap();
    // The bundled model is the judge where no other is named.
    let (told, plot) = match cfg!(feature = "bundled-model") {
        true => ("a relative of the writer", "plots/quality_seconds.svg"),
        false => ("No judge read the texts", "plots/entropy_nfe.svg"),
    };
    assert!(html.contains(told) && html.contains("The old king"));
    assert!(out.join("results.parquet").is_file() && out.join(plot).is_file());
    let csv = fs::read_to_string(out.join("results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 4);

    let texts = || fs::read_to_string(out.join("texts.jsonl")).unwrap();
    let before = texts();
    assert_eq!(before.lines().count(), 8);
    sweep(dir.path(), &["--set", "grid.steps=[1,2,4]"]).run().succeeds();
    let after = texts();
    assert!(after.starts_with(&before), "finished texts stay");
    assert_eq!(after.lines().count(), 12);
}

#[test]
fn a_dry_run_lists_the_cells_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = sweep(dir.path(), &["--dry-run", "--set", "grid.block_size=[4,16]"])
        .output()
        .unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(text.contains("2 cells, 4 texts, at most 20 network passes"), "{text}");
    assert!(
        text.contains("a block of 16 is longer than a text of 8 tokens"),
        "{text}"
    );
    assert!(!dir.path().join("out").exists());
}

#[test]
fn mistakes_are_told_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let told = |more: &[&str]| {
        let run = sweep(dir.path(), more).output().unwrap();
        assert_eq!(run.status.code(), Some(2), "{more:?}");
        assert!(!dir.path().join("out").exists(), "{more:?}");
        String::from_utf8(run.stderr).unwrap()
    };
    assert!(told(&["--set", "grid.stpes=[1]"]).contains("did you mean `steps`"));
    assert!(told(&["--set", "grid.compute=[1.5]"]).contains("`compute` is 1.5"));
    // The default model is dense.
    assert!(told(&["--set", "grid.compute=[0.5]"]).contains("no routed experts"));
    assert!(told(&["--judge", "nowhere.gguf"]).contains("nowhere.gguf"));
    assert!(told(&["--reference", "nowhere.jsonl"]).contains("nowhere.jsonl"));
}

/// Each preset at smoke size: a tiny model, one short text a cell.
#[test]
fn every_preset_runs() {
    for preset in presets("sweep") {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let mut command = drdiff();
        command.args(["sweep", preset.name, "--quiet", "-o"]).arg(&out);
        for set in ["settings.tokens=64", "prompts=[Nobody]", "seeds=[1]", "texts=1"] {
            command.args(["--set", set]);
        }
        let model = fixture().model();
        command
            .arg("--judge")
            .arg(&model)
            .arg("--set")
            .arg(format!("model={:?}", model.display()));
        command.run().succeeds();
        let csv = fs::read_to_string(out.join("results.csv")).unwrap();
        assert!(
            csv.lines().count() > 1 && out.join("plots/quality_seconds.svg").is_file(),
            "{}",
            preset.name
        );
    }
}

/// The settings of a preset's cells that are written when nobody chooses anything, by networks of each kind.
#[test]
fn quick_and_frontier_contain_what_is_written_by_default() {
    let kinds = [NetworkKind::Masked, NetworkKind::Autoregressive];
    for (name, kind) in ["quick", "frontier"]
        .into_iter()
        .flat_map(|name| kinds.map(|kind| (name, kind)))
    {
        let mut inputs = Inputs::default();
        inputs.config(name);
        let sweep = inputs.resolve::<SweepConfig>().unwrap().value;
        let default = |cell: &Cell| {
            let settings = Settings {
                tokens: cell.settings.tokens,
                stop_at_end: false,
                ..Choices::default().resolve(kind).unwrap()
            };
            cell.settings == settings
        };
        assert!(sweep.plan(kind).unwrap().cells.iter().any(default), "{name}, {kind:?}");
    }
}
