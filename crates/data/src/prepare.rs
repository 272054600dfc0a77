//! Text files in, a corpus folder out.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use drdiff_files::{Error, NewFolder};
use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::kept::Kept;
use super::manifest::{Manifest, TOKENIZER};
use super::passes::Passes;
use super::progress::{Progress, Stage};
use crate::Words;

/// How a corpus is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrepareOptions {
    /// Where the ids come from.
    pub tokenizer: TokenizerChoice,
    /// Probability that a document shows its title, followed by a blank line. In [0, 1].
    pub title_probability: f64,
    /// Share of the documents that is kept for validation, besides the files given for it. In [0, 1). `None` keeps
    /// [`VALID_SHARE`](super::VALID_SHARE) where no file is given for it, and of a small corpus as much as can be measured on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_share: Option<f64>,
    /// Documents in which more than this share of the 4-grams of tokens repeats an earlier one are left out. In [0, 1]. `None` keeps all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeats: Option<f64>,
    /// Tier of documents that name none.
    pub default_tier: String,
    /// Decides titles, split and paragraph sample.
    pub seed: u64,
    /// Replace a corpus folder that holds nothing else.
    #[serde(skip)]
    pub overwrite: bool,
}

impl Default for PrepareOptions {
    fn default() -> Self {
        Self {
            tokenizer: TokenizerChoice::Train { vocab_size: 8192 },
            title_probability: 0.5,
            valid_share: None,
            repeats: None,
            default_tier: "text".into(),
            seed: 0,
            overwrite: false,
        }
    }
}

/// Where the ids come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TokenizerChoice {
    /// Learn a byte-level BPE from the training documents.
    Train {
        /// Number of ids, special tokens included.
        vocab_size: usize,
    },
    /// Use this `tokenizer.json`, or that of a language model: a folder of Hugging Face, or a GGUF file. The path is not written
    /// into the manifest.
    Reuse(#[serde(skip)] PathBuf),
}

impl TokenizerChoice {
    /// The file that is read.
    fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Train { .. } => None,
            Self::Reuse(path) => Some(path),
        }
    }
}

/// Prepares `train` and `valid` files into the folder `out`, telling `progress` about every batch.
///
/// The folder is written under a temporary name beside `out` and renamed at the end: an error, an interruption or a
/// crash leaves no half-written corpus. `progress` stops the work by returning [`ControlFlow::Break`].
///
/// Memory is bounded by the paragraph sample and one batch of documents, not by the size of the files. Equal files and
/// options give equal bytes.
///
/// # Errors
/// See [`DataError`]; each names the file, the line where there is one, and the remedy.
pub fn prepare(
    train: &[PathBuf],
    valid: &[PathBuf],
    out: &Path,
    options: &PrepareOptions,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Manifest, DataError> {
    check(train, out, options)?;
    if out.exists() {
        require_replaceable(out, train.iter().chain(valid).chain(options.tokenizer.file()))?;
    }
    let kept = match options.valid_share {
        Some(share) => Kept::Share(share),
        None if valid.is_empty() => Kept::by_default(train, options.seed, &mut |documents| {
            progress(Progress {
                stage: Stage::Sample,
                done: 0,
                total: 1,
                documents,
                tokens: 0,
            })
        })?,
        None => Kept::Share(0.0),
    };
    let mut passes = Passes {
        options,
        kept,
        progress,
    };
    let words = match &options.tokenizer {
        TokenizerChoice::Reuse(path) => Words::read(path)?,
        TokenizerChoice::Train { vocab_size } => passes.train_tokenizer(train, *vocab_size)?.into(),
    };

    let folder = NewFolder::begin(out)?;
    let dir = folder.path();
    drdiff_files::write(&dir.join(TOKENIZER), words.tokenizer.json())?;
    for (name, content) in words.beside() {
        drdiff_files::write(&dir.join(name), &content)?;
    }
    let manifest = passes.encode(train, valid, dir, &words)?;
    manifest.write(dir)?;
    // Much may have happened since the beginning.
    let replaces = out.exists();
    if replaces {
        check(train, out, options)?;
        require_replaceable(out, &[])?;
    }
    folder.publish(replaces)?;
    Ok(manifest)
}

fn check(train: &[PathBuf], out: &Path, options: &PrepareOptions) -> Result<(), DataError> {
    if train.is_empty() {
        return Err(DataError::NoFiles);
    }
    let refuse = |name, range, value: f64| DataError::Option {
        name,
        range,
        value: value.to_string(),
    };
    if !(0.0..=1.0).contains(&options.title_probability) {
        return Err(refuse(
            "the title probability",
            "between 0 and 1",
            options.title_probability,
        ));
    }
    if let Some(share) = options.valid_share
        && !(0.0..1.0).contains(&share)
    {
        return Err(refuse("the valid share", "at least 0 and below 1", share));
    }
    if let Some(share) = options.repeats
        && !(0.0..=1.0).contains(&share)
    {
        return Err(refuse("the share of repeats", "between 0 and 1", share));
    }
    if let TokenizerChoice::Train { vocab_size } = options.tokenizer
        && !(257..=65_536).contains(&vocab_size)
    {
        return Err(refuse(
            "the vocabulary size",
            "between 257 and 65536",
            vocab_size as f64,
        ));
    }
    if out.exists() && !options.overwrite {
        return Err(DataError::Exists { path: out.to_owned() });
    }
    Ok(())
}

/// Refuses to replace what is not a corpus folder of this program alone, or holds one of `inputs`.
fn require_replaceable<'a>(out: &Path, inputs: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), DataError> {
    let foreign = |reason: String| Error::ForeignFolder {
        folder: out.to_owned(),
        reason,
    };
    let Ok(manifest) = Manifest::read(out) else {
        return Err(foreign("it is no folder that `drdiff data prepare` has written".to_owned()).into());
    };
    NewFolder::require_only(out, &manifest.files())?;
    let folder_of = |file: &Path| Some(file.canonicalize().ok()?.parent()?.to_owned());
    let inside = inputs
        .into_iter()
        .find(|input| folder_of(input).is_some_and(|folder| drdiff_files::same(&folder, out)));
    match inside {
        Some(input) => Err(foreign(format!("{} is read", input.display())).into()),
        None => Ok(()),
    }
}
