//! A tiny corpus, a model that was never trained, and the program.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use drdiff_data::Tokenizer;
use drdiff_kernels::params::Param;
use drdiff_kernels::{Builder, DeviceKind, Source, device};
use drdiff_model::{Metadata, ModelConfig, Network, save_checkpoint};
use drdiff_noise::Noise;
use serde_json::{Value, json};

/// Folders that all tests share and none changes.
pub(crate) struct Fixture {
    root: PathBuf,
    /// Size of the vocabulary: what the few stories give.
    pub(crate) vocabulary: usize,
}

impl Fixture {
    /// A corpus folder, prepared by the program.
    pub(crate) fn corpus(&self) -> PathBuf {
        self.root.join("corpus")
    }

    /// A model folder.
    pub(crate) fn model(&self) -> PathBuf {
        self.root.join("model")
    }

    /// A model folder with routed experts.
    pub(crate) fn routed(&self) -> PathBuf {
        self.root.join("routed")
    }

    /// A training configuration of five steps for the corpus.
    pub(crate) fn config(&self) -> PathBuf {
        self.root.join("tiny.yaml")
    }
}

/// The shared folders, made on the first call.
pub(crate) fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("drdiff-fixture");
        if root.exists() {
            std::fs::remove_dir_all(&root).unwrap();
        }
        std::fs::create_dir_all(&root).unwrap();
        let mut fixture = Fixture { root, vocabulary: 0 };
        std::fs::write(fixture.root.join("text.jsonl"), documents(0..30)).unwrap();
        std::fs::write(fixture.root.join("valid.jsonl"), documents(30..36)).unwrap();
        let prepared = drdiff()
            .args(["data", "prepare", "--vocab", "600"])
            .arg(fixture.root.join("text.jsonl"))
            .arg("--valid")
            .arg(fixture.root.join("valid.jsonl"))
            .arg("-o")
            .arg(fixture.corpus())
            .run();
        prepared.succeeds();
        fixture.vocabulary = Tokenizer::from_file(fixture.corpus().join("tokenizer.json"))
            .unwrap()
            .vocab_size();
        // JSON is YAML.
        std::fs::write(fixture.config(), training(fixture.vocabulary).to_string()).unwrap();
        let mut config = model_config(fixture.vocabulary);
        save_model(&fixture, &fixture.model(), &config);
        config["routing"] = json!({
            "kind": "expert_choice", "experts": 4, "expert_hidden": 32, "first_layer": 0,
            "budget": { "min": 0.25, "max": 1.0 },
        });
        save_model(&fixture, &fixture.routed(), &config);
        fixture
    })
}

/// Lines of a .jsonl file with one story each.
pub(crate) fn documents(numbers: std::ops::Range<usize>) -> String {
    numbers
        .map(|n| json!({ "title": format!("Tale {n}"), "tier": "tales", "text": story(n) }).to_string() + "\n")
        .collect()
}

/// A story that differs for each `seed`.
pub(crate) fn story(seed: usize) -> String {
    const WHO: [&str; 5] = ["The miller", "A grey cat", "Her brother", "The old king", "Nobody"];
    const DID: [&str; 5] = ["walked to", "dreamt of", "painted", "could not find", "sold"];
    const WHAT: [&str; 5] = [
        "the river",
        "17 apples",
        "a \"golden\" key",
        "the café",
        "tomorrow's bread",
    ];
    let sentence = |n: usize| {
        let [who, did, what] = [n + seed, n / 2 + 3 * seed, n * seed + n / 5].map(|pick| pick % 5);
        format!(
            "{} {} {}.{}",
            WHO[who],
            DID[did],
            WHAT[what],
            if n % 4 == 3 { "\n\n" } else { " " }
        )
    };
    (0..40).map(sentence).collect()
}

fn model_config(vocabulary: usize) -> Value {
    json!({
        "vocab": vocabulary, "width": 32, "embed": 64, "layers": 1, "heads": 2, "kv_heads": 1,
        "head_dim": 16, "hidden": 64, "context": 64,
    })
}

fn training(vocabulary: usize) -> Value {
    json!({
        "model": model_config(vocabulary), "steps": 5, "batch": 2, "block_sizes": { "4": 1.0, "16": 1.0 },
        "log_every": 1, "validation_windows": 2, "validation_blocks": [4, 16],
    })
}

fn save_model(fixture: &Fixture, folder: &Path, config: &Value) {
    let config: ModelConfig = serde_json::from_value(config.clone()).unwrap();
    let device = device(DeviceKind::Cpu).unwrap();
    let builder = Builder::new(Source::Init(Noise::new(3, 0)), &device);
    Network::new(&builder, &config, candle_core::DType::F32).unwrap();
    let (params, _) = builder.finish();
    let tensors: Vec<_> = params
        .iter()
        .filter_map(|(name, param)| match param {
            Param::Trained(var) => Some((name.to_owned(), var.as_tensor().clone())),
            Param::Fixed(_) | Param::Quantized(_) => None,
        })
        .collect();
    let json = std::fs::read(fixture.corpus().join("tokenizer.json")).unwrap();
    let metadata = Metadata {
        config,
        step: 7,
        tokens: 1234,
        tokenizer_hash: blake3::hash(&json).to_hex().to_string(),
        commit: "abc".to_owned(),
        training: Value::Null,
    };
    std::fs::create_dir(folder).unwrap();
    save_checkpoint(&folder.join("model.safetensors"), &metadata, &tensors).unwrap();
    std::fs::write(folder.join("tokenizer.json"), json).unwrap();
}

/// The program, without a terminal and with nothing on stdin.
pub(crate) fn drdiff() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drdiff"));
    command.stdin(Stdio::null()).env("DRDIFF_MODEL", small_model());
    command
}

/// The model of commands that name none: a small one of bytes.
pub(crate) fn small_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/drdiff-recall")
}

/// `drdiff generate` with the tiny model and the given arguments.
pub(crate) fn generate(args: &[&str]) -> Command {
    let mut command = drdiff();
    command.arg("generate").arg("--model").arg(fixture().model()).args(args);
    command
}

/// Runs a command to its end.
pub(crate) trait RunExt {
    /// With nothing on stdin.
    fn run(&mut self) -> Ran;
    /// With `input` on stdin.
    fn run_with(&mut self, input: &[u8]) -> Ran;
}

impl RunExt for Command {
    fn run(&mut self) -> Ran {
        Ran(self.output().unwrap())
    }

    fn run_with(&mut self, input: &[u8]) -> Ran {
        let mut child = self
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The program may refuse before it reads.
        let _ = child.stdin.take().unwrap().write_all(input);
        Ran(child.wait_with_output().unwrap())
    }
}

/// What a run left behind.
pub(crate) struct Ran(pub(crate) Output);

impl Ran {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    pub(crate) fn code(&self) -> i32 {
        self.0
            .status
            .code()
            .unwrap_or_else(|| panic!("ended by a signal: {}", self.stderr()))
    }

    /// Standard output of a run that must be a success.
    pub(crate) fn succeeds(&self) -> String {
        assert_eq!(self.code(), 0, "{}", self.stderr());
        self.stdout()
    }

    /// Standard output of a success, as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.succeeds()).unwrap()
    }

    /// Asserts the exit code, and one sentence on stderr with all of `words`.
    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        let stderr = self.stderr();
        assert_eq!(self.code(), code, "{stderr}");
        assert!(stderr.starts_with("drdiff: "), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "{word:?} is not in {stderr}");
        }
    }
}
