//! Text files in, a corpus folder out.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use drdiff_model::Tokenizer;
use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::kept::Kept;
use super::manifest::{Manifest, TOKENIZER};
use super::passes::Passes;
use super::progress::{Progress, Stage};

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
    /// Tier of documents that name none.
    pub default_tier: String,
    /// Decides titles, split and paragraph sample.
    pub seed: u64,
    /// Replace an existing corpus folder.
    #[serde(skip)]
    pub overwrite: bool,
}

impl Default for PrepareOptions {
    fn default() -> Self {
        Self {
            tokenizer: TokenizerChoice::Train { vocab_size: 8192 },
            title_probability: 0.5,
            valid_share: None,
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
    /// Use this `tokenizer.json`; the path is not written into the manifest.
    Reuse(#[serde(skip)] PathBuf),
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
    let tokenizer = match &options.tokenizer {
        TokenizerChoice::Reuse(path) => Tokenizer::from_file(path)?,
        TokenizerChoice::Train { vocab_size } => passes.train_tokenizer(train, *vocab_size)?,
    };
    if tokenizer.vocab_size() > usize::from(u16::MAX) + 1 {
        return Err(DataError::Vocabulary(tokenizer.vocab_size()));
    }

    let parent = out
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(DataError::io(parent))?;
    let temporary = tempfile::Builder::new()
        .prefix(".drdiff-corpus-")
        .suffix(".tmp")
        .tempdir_in(parent)
        .map_err(DataError::io(parent))?;
    let dir = temporary.path();
    let tokenizer_path = dir.join(TOKENIZER);
    fs::write(&tokenizer_path, tokenizer.json()).map_err(DataError::io(&tokenizer_path))?;
    let manifest = passes.encode(train, valid, dir, &tokenizer)?;
    manifest.write(dir)?;
    publish(temporary, out)?;
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

/// Moves the finished folder to its name; an old one is set aside first and removed last.
fn publish(temporary: tempfile::TempDir, out: &Path) -> Result<(), DataError> {
    let io = DataError::io(out);
    let aside = temporary.path().with_extension("old");
    let replaced = out.exists();
    if replaced {
        fs::rename(out, &aside).map_err(&io)?;
    }
    fs::rename(temporary.path(), out).map_err(&io)?;
    // Temporary folders are private; the corpus is as readable as any other folder of the user.
    if let Some(mode) = out.parent().and_then(|parent| fs::metadata(parent).ok()) {
        fs::set_permissions(out, mode.permissions()).map_err(&io)?;
    }
    let _gone = temporary.keep();
    if replaced {
        fs::remove_dir_all(&aside).map_err(&io)?;
    }
    Ok(())
}
