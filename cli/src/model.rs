//! From a name on the command line to a network and its tokenizer.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::Result;
use candle_core::Device;
use drdiff_model::{Checkpoint, Error, Loading, Metadata, Network, Tokenizer, build, read_checkpoint, read_gguf};

use crate::exit::usage;
use crate::settings::changed;

/// Weights files that a model folder may hold, the first found is taken.
const WEIGHTS: [&str; 2] = ["model.gguf", "model.safetensors"];
/// The tokenizer beside the weights.
pub(crate) const TOKENIZER: &str = "tokenizer.json";

#[cfg(has_bundled_model)]
const BUNDLED: Option<(&[u8], &[u8])> = Some((
    include_bytes!("../../models/drdiff-tales/model.gguf"),
    include_bytes!("../../models/drdiff-tales/tokenizer.json"),
));
#[cfg(not(has_bundled_model))]
const BUNDLED: Option<(&[u8], &[u8])> = None;

/// A model before it is parsed.
pub(crate) struct Source {
    /// The weights file; for messages and records.
    pub(crate) path: PathBuf,
    weights: Cow<'static, [u8]>,
    /// The tokenizer's file or, for the bundled model, its content.
    tokenizer: Result<&'static [u8], PathBuf>,
}

impl Source {
    /// Finds a model: a folder, a weights file with its tokenizer beside it, or the bundled model.
    pub(crate) fn find(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Self::bundled() };
        let path = weights_file(path)?;
        let weights = std::fs::read(&path).map_err(|source| Error::File {
            action: "read",
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            weights: weights.into(),
            tokenizer: Err(path.with_file_name(TOKENIZER)),
            path,
        })
    }

    fn bundled() -> Result<Self> {
        let Some((weights, tokenizer)) = BUNDLED else {
            return Err(usage(
                "this build has no bundled model; name a model folder (with --model when writing)",
            ));
        };
        Ok(Self {
            path: "bundled".into(),
            weights: weights.into(),
            tokenizer: Ok(tokenizer),
        })
    }

    /// Size of the weights file in bytes.
    pub(crate) fn size(&self) -> usize {
        self.weights.len()
    }

    /// blake3 of the weights file, in hex.
    pub(crate) fn hash(&self) -> String {
        blake3::hash(&self.weights).to_hex().to_string()
    }

    /// Whether the file is GGUF; otherwise it should be safetensors.
    pub(crate) fn is_gguf(&self) -> bool {
        self.weights.starts_with(b"GGUF")
    }

    /// Reads the weights.
    pub(crate) fn checkpoint(&self, device: &Device) -> Result<Checkpoint> {
        let read = if self.is_gguf() { read_gguf } else { read_checkpoint };
        Ok(read(&self.weights, &self.path, device)?)
    }

    /// Reads the tokenizer, which must be the one that the weights were trained with.
    pub(crate) fn tokenizer(&self, metadata: &Metadata) -> Result<Tokenizer> {
        let tokenizer = match &self.tokenizer {
            Ok(json) => Tokenizer::from_bytes(json)?,
            Err(path) => Tokenizer::from_file(path)?,
        };
        require_tokenizer(metadata, &tokenizer)?;
        Ok(tokenizer)
    }

    /// Loads all of it for writing text.
    pub(crate) fn load(&self, device: &Device) -> Result<(Network, Tokenizer)> {
        self.load_changed(device, &[])
    }

    /// [`Source::load`], with what `sets` (`key=value`) change of the model's configuration.
    pub(crate) fn load_changed(&self, device: &Device, sets: &[String]) -> Result<(Network, Tokenizer)> {
        let mut checkpoint = self.checkpoint(device)?;
        let tokenizer = self.tokenizer(&checkpoint.metadata)?;
        if !sets.is_empty() {
            checkpoint.metadata.config = changed(&checkpoint.metadata.config, sets)?;
        }
        let (network, _) = build(checkpoint, device, Loading::Inference)?;
        Ok((network, tokenizer))
    }
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

/// The file with the weights of a model that is named by it or by its folder.
pub(crate) fn weights_file(path: &Path) -> Result<PathBuf> {
    let shown = path.display();
    if path.is_dir() {
        let found = WEIGHTS.iter().map(|name| path.join(name)).find(|file| file.is_file());
        return found.ok_or_else(|| {
            usage(format!(
                "{shown} holds neither {} nor {}; name a folder with a model",
                WEIGHTS[0], WEIGHTS[1]
            ))
        });
    }
    if !path.exists() {
        return Err(usage(format!(
            "there is no model at {shown}; name a weights file or a folder that holds one"
        )));
    }
    Ok(path.to_owned())
}
