//! Situations of bug reports, each a script that ends with 0 where the program does right. They run at the project's
//! root and find the program in `DRDIFF`, and in `DRDIFF_MODEL` a small model; `zstd`, `iconv` and `python3` have to be there.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::Path;
use std::process::Command;

fn run(script: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let interpreter = if Path::new(script).extension().is_some_and(|ext| ext == "py") {
        "python3"
    } else {
        "bash"
    };
    let done = Command::new(interpreter)
        .arg(Path::new("crates/cli/tests/cases").join(script))
        .current_dir(root)
        .env("DRDIFF", env!("CARGO_BIN_EXE_drdiff"))
        .env("DRDIFF_MODEL", root.join("models/drdiff-recall"))
        .output()
        .unwrap();
    let told = [done.stdout, done.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    assert!(done.status.success(), "{script}: {told}");
}

macro_rules! cases {
    ($($name:ident: $script:literal,)*) => {
        $(#[test]
        fn $name() {
            run($script);
        })*

        #[test]
        fn every_script_is_a_test() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
            let mut scripts: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
            scripts.sort();
            assert_eq!(scripts, [$($script),*]);
        }
    };
}

cases! {
    batch_from_a_pipe: "batch-from-a-pipe.sh",
    bom_in_a_corpus: "bom-in-a-corpus.sh",
    crlf_prompt: "crlf-prompt.sh",
    diverged_message: "diverged-message.sh",
    edited_part_is_blessed: "edited-part-is-blessed.sh",
    error_without_its_id: "error-without-its-id.sh",
    eval_of_a_small_model: "eval-of-a-small-model.sh",
    export_of_a_state: "export-of-a-state.sh",
    foreign_files: "foreign-files.sh",
    half_weights: "half-weights.py",
    header_panics: "header-panics.py",
    infill_ignores_stop: "infill-ignores-stop.sh",
    judge_misread: "judge-misread.py",
    long_runs: "long-runs.sh",
    nulls_and_floats: "nulls-and-floats.sh",
    one_line_stops_the_job: "one-line-stops-the-job.sh",
    output_is_no_plain_file: "output-is-no-plain-file.sh",
    output_over_input: "output-over-input.sh",
    overwrite_takes_the_sources: "overwrite-takes-the-sources.sh",
    readme_train: "readme-train.sh",
    resume_changed: "resume-changed.sh",
    same_texts_two_perplexities: "same-texts-two-perplexities.sh",
    short_texts: "short-texts.sh",
    silent_training_settings: "silent-training-settings.sh",
    stale_export: "stale-export.sh",
    trailing_space: "trailing-space.sh",
    train_over_a_model: "train-over-a-model.sh",
    two_trainers: "two-trainers.sh",
    utf16_prompts: "utf16-prompts.sh",
}
