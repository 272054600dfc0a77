//! From a name on the command line to a network and its tokenizer.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::Result;
use candle_core::Device;
use drdiff_data::{ChatTemplate, Tokenizer, TokenizerError, TokenizerFiles, Words};
use drdiff_files::Output;
use drdiff_generation::NetworkKind;
use drdiff_model::{
    Checkpoint, Error, Loading, Metadata, Network, NetworkSpec, Pretrained, WEIGHTS, build, head_of, read_checkpoint,
    read_gguf, read_head,
};
use drdiff_training::{MODEL_FILE, is_state};

use crate::exit::usage;
use crate::output::{grouped, remark};
use crate::settings::changed;

/// The tokenizer beside the weights.
pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// The files of the model that the program carries.
struct Bundled {
    weights: &'static [u8],
    tokenizer: &'static [u8],
    tokenizer_config: &'static [u8],
    chat_template: &'static [u8],
}

#[cfg(has_bundled_model)]
const BUNDLED: Option<Bundled> = Some(Bundled {
    weights: include_bytes!("../../../models/drdiff-smol/model.gguf"),
    tokenizer: include_bytes!("../../../models/drdiff-smol/tokenizer.json"),
    tokenizer_config: include_bytes!("../../../models/drdiff-smol/tokenizer_config.json"),
    chat_template: include_bytes!("../../../models/drdiff-smol/chat_template.jinja"),
});
#[cfg(not(has_bundled_model))]
const BUNDLED: Option<Bundled> = None;

impl Bundled {
    fn words(&self) -> Result<Words> {
        let files = TokenizerFiles {
            tokenizer_json: self.tokenizer.to_vec(),
            tokenizer_config: Some(self.tokenizer_config.to_vec()),
            chat_template: Some(self.chat_template.to_vec()),
            ..TokenizerFiles::default()
        };
        Ok(Words::from_files(&files)?)
    }
}

/// Names the model of every command that is given none.
const DEFAULT_MODEL: &str = "DRDIFF_MODEL";

/// The model of the environment variable `DRDIFF_MODEL`; none if it is unset or empty.
pub(crate) fn default_model() -> Option<PathBuf> {
    std::env::var_os(DEFAULT_MODEL)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

/// What the model at a path can write; without a path, the one that [`Source::find`] takes.
pub(crate) fn kind_of(path: Option<&Path>) -> NetworkKind {
    let default = default_model();
    match path.or(default.as_deref()) {
        Some(path) => NetworkKind::at(path),
        None => {
            let head = BUNDLED.and_then(|bundled| head_of(bundled.weights));
            head.map_or_else(NetworkKind::default, |head| {
                NetworkKind::of(&NetworkSpec::from(&head.config))
            })
        }
    }
}

/// A model before it is parsed.
pub(crate) struct Source {
    /// The weights file; for messages and records.
    pub(crate) path: PathBuf,
    content: Content,
}

/// Where the tokenizer of a model of this program is.
enum Tokens {
    Bundled(Bundled),
    File(PathBuf),
}

enum Content {
    /// A model of this program: its weights file and its tokenizer.
    Own(Cow<'static, [u8]>, Tokens),
    /// A language model of others, which is read when it is loaded.
    Foreign,
}

impl Source {
    /// Whether there is a model where none is named.
    pub(crate) fn has_default() -> bool {
        BUNDLED.is_some() || default_model().is_some()
    }

    /// Finds a model: a folder, a weights file with its tokenizer beside it, or, where `path` is none, that of
    /// [`default_model`] and else the bundled one. Tells, unless
    /// `quiet`, which weights were chosen where a folder holds those of two steps.
    pub(crate) fn find(path: Option<&Path>, quiet: bool) -> Result<Self> {
        let default = default_model();
        let Some(path) = path.or(default.as_deref()) else {
            return Self::bundled();
        };
        if Pretrained::is_at(path) {
            return Ok(Self {
                path: path.to_owned(),
                content: Content::Foreign,
            });
        }
        let Weights { path, note } = weights(path)?;
        if let Some(note) = note {
            remark(quiet, &note);
        }
        let weights = std::fs::read(&path).map_err(|source| Error::File {
            action: "read",
            path: path.clone(),
            source,
        })?;
        let tokenizer = Tokens::File(path.with_file_name(TOKENIZER));
        Ok(Self {
            content: Content::Own(weights.into(), tokenizer),
            path,
        })
    }

    fn bundled() -> Result<Self> {
        let Some(bundled) = BUNDLED else {
            return Err(usage(
                "this build has no bundled model; name a model folder (with --model when writing, or in DRDIFF_MODEL)",
            ));
        };
        Ok(Self {
            path: "bundled".into(),
            content: Content::Own(bundled.weights.into(), Tokens::Bundled(bundled)),
        })
    }

    /// The files that hold the weights, of a model that is not in memory already.
    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = match std::fs::read_dir(&self.path) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
            Err(_) => return vec![self.path.clone()],
        };
        files.retain(|file| file.extension().is_some_and(|extension| extension == "safetensors"));
        files.sort();
        files
    }

    /// Size of the weights in bytes.
    pub(crate) fn size(&self) -> usize {
        let length = |file: &PathBuf| file.metadata().map_or(0, |file| file.len() as usize);
        match &self.content {
            Content::Own(weights, _) => weights.len(),
            Content::Foreign => self.files().iter().map(length).sum(),
        }
    }

    /// blake3 of the weights, in hex.
    pub(crate) fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        match &self.content {
            Content::Own(weights, _) => {
                hasher.update(weights);
            }
            Content::Foreign => {
                for file in self.files() {
                    // A file that cannot be read is told when it is loaded.
                    let _ = std::fs::File::open(file).and_then(|file| hasher.update_reader(file).map(|_| ()));
                }
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Whether it is a language model of others.
    pub(crate) fn is_foreign(&self) -> bool {
        matches!(self.content, Content::Foreign)
    }

    /// Whether the weights are GGUF; otherwise they should be safetensors.
    pub(crate) fn is_gguf(&self) -> bool {
        match &self.content {
            Content::Own(weights, _) => weights.starts_with(b"GGUF"),
            Content::Foreign => !self.path.is_dir(),
        }
    }

    /// Reads the weights. Those of others come with a description of their shape alone.
    pub(crate) fn checkpoint(&self, device: &Device) -> Result<Checkpoint> {
        match &self.content {
            Content::Own(weights, _) => {
                let read = if self.is_gguf() { read_gguf } else { read_checkpoint };
                Ok(read(weights, &self.path, device)?)
            }
            Content::Foreign => Ok(as_checkpoint(Pretrained::read(&self.path)?).0),
        }
    }

    /// Reads the weights, which must be those of a model.
    pub(crate) fn model(&self, device: &Device) -> Result<Checkpoint> {
        let checkpoint = self.checkpoint(device)?;
        if is_state(checkpoint.tensors.keys().map(String::as_str)) {
            let meant = self.path.with_file_name(MODEL_FILE);
            return Err(usage(format!(
                "{} is the state of a run, which training goes on from, and no model; name {}",
                self.path.display(),
                match meant.is_file() {
                    true => meant.display().to_string(),
                    false => format!("the {MODEL_FILE} of the run"),
                }
            )));
        }
        Ok(checkpoint)
    }

    /// Reads the tokenizer, which must be the one that the weights were trained with.
    pub(crate) fn tokenizer(&self, metadata: &Metadata) -> Result<Tokenizer> {
        let tokenizer = match &self.content {
            Content::Own(_, Tokens::Bundled(bundled)) => Tokenizer::from_bytes(bundled.tokenizer)?,
            Content::Own(_, Tokens::File(path)) => Tokenizer::from_file(path)?,
            Content::Foreign => self.words()?.tokenizer,
        };
        require_tokenizer(metadata, &tokenizer)?;
        Ok(tokenizer)
    }

    /// The tokenizer with its chat template.
    pub(crate) fn words(&self) -> Result<Words> {
        match &self.content {
            Content::Own(_, Tokens::Bundled(bundled)) => bundled.words(),
            Content::Own(_, Tokens::File(path)) => Ok(Words::read(path)?),
            Content::Foreign => Ok(Words::read(&self.path)?),
        }
    }

    /// How conversations with the model are written.
    pub(crate) fn template(&self) -> Result<ChatTemplate> {
        let template = self.words()?.template;
        template.ok_or_else(|| Error::from(TokenizerError::NoTemplate).into())
    }

    /// Loads all of it for writing text.
    pub(crate) fn load(&self, device: &Device) -> Result<(Network, Tokenizer)> {
        self.load_changed(device, &[])
    }

    /// [`Source::load`], with what `sets` (`key=value`) change of the model's configuration.
    pub(crate) fn load_changed(&self, device: &Device, sets: &[String]) -> Result<(Network, Tokenizer)> {
        let (mut checkpoint, tokenizer) = match &self.content {
            Content::Own(..) => {
                let checkpoint = self.model(device)?;
                let tokenizer = self.tokenizer(&checkpoint.metadata)?;
                (checkpoint, tokenizer)
            }
            Content::Foreign => as_checkpoint(Pretrained::read(&self.path)?),
        };
        if !sets.is_empty() {
            checkpoint.metadata.config = changed(&checkpoint.metadata.config, sets)?;
        }
        let (network, _) = build(checkpoint, device, Loading::Inference)?;
        Ok((network, tokenizer))
    }
}

/// A language model of others with the description that models of this program have; it took no steps.
fn as_checkpoint(Pretrained { network, tokenizer }: Pretrained) -> (Checkpoint, Tokenizer) {
    let metadata = Metadata::of_others(network.config, tokenizer.hash());
    let tensors = network.tensors;
    (Checkpoint { metadata, tensors }, tokenizer)
}

/// Refuses a tokenizer that is not the one of the weights: ids would mean other text.
pub(crate) fn require_tokenizer(metadata: &Metadata, tokenizer: &Tokenizer) -> Result<()> {
    let (found, wanted) = (tokenizer.hash(), &metadata.tokenizer_hash);
    if found != wanted {
        return Err(Error::WrongTokenizer {
            found: found.to_owned(),
            wanted: wanted.clone(),
        }
        .into());
    }
    Ok(())
}

/// Where a file of a tokenizer is to be written; nowhere if it is there already. Another one is never replaced: it belongs to
/// other weights.
pub(crate) fn place_of_tokenizer(path: &Path, content: &[u8]) -> Result<Option<Output>> {
    match std::fs::read(path) {
        Ok(old) if old == content => Ok(None),
        Ok(_) => Err(usage(format!(
            "{} is the tokenizer of another model; choose another folder, or remove it first",
            path.display()
        ))),
        Err(_) => Ok(Some(Output::claim::<&Path>(path, &[])?.new_only()?)),
    }
}

/// The files that are read of a model: what an output must not be.
pub(crate) fn files_of(path: Option<&Path>) -> Vec<PathBuf> {
    let default = default_model();
    match path.or(default.as_deref()) {
        None => Vec::new(),
        Some(folder) if folder.is_dir() => WEIGHTS
            .iter()
            .chain([&TOKENIZER])
            .map(|name| folder.join(name))
            .collect(),
        Some(file) => vec![file.to_owned(), file.with_file_name(TOKENIZER)],
    }
}

/// The file with the weights of a model that is named by it or by its folder.
pub(crate) fn weights_file(path: &Path) -> Result<PathBuf> {
    Ok(weights(path)?.path)
}

/// A weights file, and why it was chosen where there are two.
struct Weights {
    path: PathBuf,
    note: Option<String>,
}

/// Of the [`WEIGHTS`] of a folder the one of the later step is taken, of equal ones the first.
fn weights(path: &Path) -> Result<Weights> {
    let shown = path.display();
    if path.is_dir() {
        let mut found: Vec<PathBuf> = WEIGHTS.iter().map(|name| path.join(name)).collect();
        found.retain(|file| file.is_file());
        let mut found = found.into_iter();
        return match (found.next(), found.next()) {
            (Some(first), Some(second)) => Ok(newer(first, second)),
            (Some(path), None) => Ok(Weights { path, note: None }),
            (None, _) => Err(usage(format!(
                "{shown} holds neither {} nor {}; name a folder with a model",
                WEIGHTS[0], WEIGHTS[1]
            ))),
        };
    }
    if !path.exists() {
        return Err(usage(format!(
            "there is no model at {shown}; name a weights file or a folder that holds one"
        )));
    }
    Ok(Weights {
        path: path.to_owned(),
        note: None,
    })
}

/// Of two weights files the one of the later step, as their heads tell; the first where they tell no difference.
fn newer(first: PathBuf, second: PathBuf) -> Weights {
    let step = |path: &Path| read_head(path).map(|head| head.step);
    let note = |newer: &Path, [new, old]: [u64; 2], older: &Path| {
        Some(format!(
            "{} of step {} is read, not {} of step {}; name a file to choose",
            newer.display(),
            grouped(new),
            older.display(),
            grouped(old)
        ))
    };
    match (step(&first), step(&second)) {
        (Some(a), Some(b)) if a < b => Weights {
            note: note(&second, [b, a], &first),
            path: second,
        },
        (Some(a), Some(b)) if a > b => Weights {
            note: note(&first, [a, b], &second),
            path: first,
        },
        _ => Weights {
            path: first,
            note: None,
        },
    }
}
