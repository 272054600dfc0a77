//! From names on the command line to what reads texts: a judge, and the network whose features distances are measured in.

use std::path::Path;

use anyhow::Result;
use candle_core::Device;
use drdiff::{Source, default_model, weights_file};
use drdiff_evaluation::Judge;
use drdiff_evaluation::features::MiniLm;
use drdiff_evaluation::judge::{NetworkJudge, name_of};
use drdiff_model::is_own_gguf;

use crate::exit::usage;
use crate::memory::require_room;
use crate::model::find;

/// Opens a judge, if one is named: a model of this program, or a language model of others in GGUF or in a folder as Hugging Face keeps
/// them.
pub(crate) fn open(path: Option<&Path>, device: &Device, quiet: bool) -> Result<Option<Box<dyn Judge>>> {
    let Some(path) = path else { return Ok(None) };
    if !is_own(path) {
        require_room(path, device)?;
        return Ok(Some(Box::new(NetworkJudge::open(path, device)?)));
    }
    let source = find(Some(path), quiet)?;
    let (network, tokenizer) = source.load(device)?;
    let judge = NetworkJudge::of(name_of(path), source.hash(), network, tokenizer);
    Ok(Some(Box::new(judge)))
}

/// The default model as a judge, one token at a time, if there is one: a relative of the models that this program trains.
pub(crate) fn relative(device: &Device) -> Result<Option<Box<dyn Judge>>> {
    if !Source::has_default() {
        return Ok(None);
    }
    let source = find(None, true)?;
    let name = default_model().map_or_else(|| "the bundled model".to_owned(), |path| name_of(&path));
    let (network, tokenizer) = source.load(device)?;
    let judge = NetworkJudge::of(name, source.hash(), network, tokenizer);
    Ok(Some(Box::new(judge)))
}

/// Opens the folder of all-MiniLM-L6-v2, if it is named.
pub(crate) fn features(path: Option<&Path>) -> Result<Option<MiniLm>> {
    let features = path.map(MiniLm::open).transpose();
    features.map_err(|error| usage(error.to_string()))
}

/// Whether a file or folder is a model of this program, by its head alone. What cannot be read is not, so that the reader
/// of the others says why.
fn is_own(path: &Path) -> bool {
    weights_file(path).is_ok_and(|file| {
        let safetensors = file.extension().is_some_and(|extension| extension == "safetensors");
        match safetensors {
            // Hugging Face keeps the shape of a network in a file of its own, this program beside the weights.
            true => !file.with_file_name("config.json").is_file(),
            false => is_own_gguf(&file),
        }
    })
}
