//! From the name of a model to its network and its tokenizer.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use candle_core::Device;
use drdiff_configs::Inputs;
use drdiff_data::{ChatTemplate, Tokenizer, TokenizerError, Words};
use drdiff_generation::NetworkKind;
use drdiff_model::{
    Checkpoint, Error as ModelError, Loading, Metadata, ModelConfig, Network, NetworkSpec, Pretrained, WEIGHTS, build,
    head_of, read_checkpoint, read_gguf, read_head,
};
use drdiff_training::{MODEL_FILE, is_state};

use crate::bundled::{BUNDLED, Bundled};
use crate::named::{find_model, variable};
use crate::{Error, Result};

/// The tokenizer beside the weights.
pub const TOKENIZER: &str = "tokenizer.json";

/// Names the model of every command that is given none.
const DEFAULT_MODEL: &str = "DRDIFF_MODEL";

/// The model of the environment variable `DRDIFF_MODEL`; none if it is unset or empty.
#[must_use]
pub fn default_model() -> Option<PathBuf> {
    variable(DEFAULT_MODEL)
}

/// Where the model is that `path` names by its place or its name, or else the default one; none if that is the bundled one.
fn place_of(path: Option<&Path>) -> Option<PathBuf> {
    let path = path.map(Path::to_owned).or_else(default_model)?;
    let named = (!path.exists()).then(|| path.to_str().and_then(find_model)).flatten();
    Some(named.unwrap_or(path))
}

/// What the model at a path can write; without a path, the one that [`Source::find`] takes.
#[must_use]
pub fn kind_of(path: Option<&Path>) -> NetworkKind {
    match place_of(path) {
        Some(path) => NetworkKind::at(&path),
        None => {
            let head = BUNDLED.and_then(|bundled| head_of(bundled.weights));
            head.map_or_else(NetworkKind::default, |head| {
                NetworkKind::of(&NetworkSpec::from(&head.config))
            })
        }
    }
}

/// A model before it is parsed.
pub struct Source {
    /// The weights file; for messages and records.
    pub path: PathBuf,
    /// Which weights were chosen, and why, where a folder holds those of two steps.
    pub note: Option<String>,
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
    #[must_use]
    pub fn has_default() -> bool {
        BUNDLED.is_some() || default_model().is_some()
    }

    /// Finds a model: a folder, a weights file with its tokenizer beside it, or, where `path` is none, that of
    /// [`default_model`] and else the bundled one.
    ///
    /// # Errors
    /// If there is no model, or its file cannot be read.
    pub fn find(path: Option<&Path>) -> Result<Self> {
        let Some(path) = place_of(path) else {
            return Self::bundled();
        };
        if Pretrained::is_at(&path) {
            return Ok(Self {
                path,
                content: Content::Foreign,
                note: None,
            });
        }
        let Weights { path, note } = weights(&path)?;
        let weights = std::fs::read(&path).map_err(|source| ModelError::File {
            action: "read",
            path: path.clone(),
            source,
        })?;
        let tokenizer = Tokens::File(path.with_file_name(TOKENIZER));
        Ok(Self {
            content: Content::Own(weights.into(), tokenizer),
            path,
            note,
        })
    }

    fn bundled() -> Result<Self> {
        let Some(bundled) = BUNDLED else {
            return Err(Error::Input(
                "this build has no bundled model; name a model folder (with --model when writing, or in DRDIFF_MODEL)"
                    .to_owned(),
            ));
        };
        Ok(Self {
            path: "bundled".into(),
            content: Content::Own(bundled.weights.into(), Tokens::Bundled(bundled)),
            note: None,
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
    #[must_use]
    pub fn size(&self) -> usize {
        let length = |file: &PathBuf| file.metadata().map_or(0, |file| file.len() as usize);
        match &self.content {
            Content::Own(weights, _) => weights.len(),
            Content::Foreign => self.files().iter().map(length).sum(),
        }
    }

    /// blake3 of the weights, in hex.
    #[must_use]
    pub fn hash(&self) -> String {
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
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self.content, Content::Foreign)
    }

    /// Whether the weights are GGUF; otherwise they should be safetensors.
    #[must_use]
    pub fn is_gguf(&self) -> bool {
        match &self.content {
            Content::Own(weights, _) => weights.starts_with(b"GGUF"),
            Content::Foreign => !self.path.is_dir(),
        }
    }

    /// Reads the weights. Those of others come with a description of their shape alone.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn checkpoint(&self, device: &Device) -> Result<Checkpoint> {
        match &self.content {
            Content::Own(weights, _) => {
                let read = if self.is_gguf() { read_gguf } else { read_checkpoint };
                Ok(read(weights, &self.path, device)?)
            }
            Content::Foreign => Ok(as_checkpoint(Pretrained::read(&self.path)?).0),
        }
    }

    /// Reads the weights, which must be those of a model.
    ///
    /// # Errors
    /// If the file is damaged, or is the state of a training run.
    pub fn model(&self, device: &Device) -> Result<Checkpoint> {
        let checkpoint = self.checkpoint(device)?;
        if is_state(checkpoint.tensors.keys().map(String::as_str)) {
            let meant = self.path.with_file_name(MODEL_FILE);
            return Err(Error::Input(format!(
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
    ///
    /// # Errors
    /// If it cannot be read, or belongs to other weights.
    pub fn tokenizer(&self, metadata: &Metadata) -> Result<Tokenizer> {
        let tokenizer = match &self.content {
            Content::Own(_, Tokens::Bundled(bundled)) => Tokenizer::from_bytes(bundled.tokenizer)?,
            Content::Own(_, Tokens::File(path)) => Tokenizer::from_file(path)?,
            Content::Foreign => self.words()?.tokenizer,
        };
        require_tokenizer(metadata, &tokenizer)?;
        Ok(tokenizer)
    }

    /// The tokenizer with its chat template.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn words(&self) -> Result<Words> {
        match &self.content {
            Content::Own(_, Tokens::Bundled(bundled)) => bundled.words(),
            Content::Own(_, Tokens::File(path)) => Ok(Words::read(path)?),
            Content::Foreign => Ok(Words::read(&self.path)?),
        }
    }

    /// How conversations with the model are written.
    ///
    /// # Errors
    /// If the model has none.
    pub fn template(&self) -> Result<ChatTemplate> {
        let template = self.words()?.template;
        template.ok_or_else(|| TokenizerError::NoTemplate.into())
    }

    /// Loads all of it for writing text.
    ///
    /// # Errors
    /// If the files are damaged, do not belong together, or do not fit into memory.
    pub fn load(&self, device: &Device) -> Result<(Network, Tokenizer)> {
        self.load_changed(device, &[])
    }

    /// [`Source::load`], with what `sets` (`key=value`) change of the model's configuration: values that its weights do not
    /// depend on.
    ///
    /// # Errors
    /// As [`Source::load`], and if a value is unknown, impossible, or one that the weights depend on.
    pub fn load_changed(&self, device: &Device, sets: &[String]) -> Result<(Network, Tokenizer)> {
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
///
/// # Errors
/// [`ModelError::WrongTokenizer`].
pub fn require_tokenizer(metadata: &Metadata, tokenizer: &Tokenizer) -> Result<()> {
    let (found, wanted) = (tokenizer.hash(), &metadata.tokenizer_hash);
    if found != wanted {
        return Err(ModelError::WrongTokenizer {
            found: found.to_owned(),
            wanted: wanted.clone(),
        }
        .into());
    }
    Ok(())
}

/// The files that are read of a model: what an output must not be.
#[must_use]
pub fn files_of(path: Option<&Path>) -> Vec<PathBuf> {
    match place_of(path) {
        None => Vec::new(),
        Some(folder) if folder.is_dir() => WEIGHTS
            .iter()
            .chain([&TOKENIZER])
            .map(|name| folder.join(name))
            .collect(),
        Some(file) => vec![file.with_file_name(TOKENIZER), file],
    }
}

/// The file with the weights of a model that is named by it or by its folder.
///
/// # Errors
/// If there is none.
pub fn weights_file(path: &Path) -> Result<PathBuf> {
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
            (None, _) => Err(Error::Input(format!(
                "{shown} holds neither {} nor {}; name a folder with a model",
                WEIGHTS[0], WEIGHTS[1]
            ))),
        };
    }
    if !path.exists() {
        return Err(Error::Input(format!(
            "there is no model at {shown}; name a weights file, a folder that holds one, or one that `drdiff models` lists"
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
            new,
            older.display(),
            old
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

/// A model's configuration with some values changed, of those that its weights do not depend on.
fn changed(config: &ModelConfig, sets: &[String]) -> Result<ModelConfig> {
    let mut inputs = Inputs::default();
    inputs.start_from("the model's configuration", config)?;
    sets.iter().for_each(|set| inputs.set(set));
    let changed = inputs.resolve::<ModelConfig>()?.value;
    if !config.fits(&changed) {
        return Err(Error::Input(
            "`--set` makes a model of another shape, which these weights do not fit; change `attention` and `context` only"
                .to_owned(),
        ));
    }
    Ok(changed)
}
