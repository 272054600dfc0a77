//! From a name on the command line to a judge of texts.

use std::path::Path;

use anyhow::Result;
use candle_core::Device;
use drdiff_evaluation::judge::{LlamaJudge, OwnJudge, name_of};
use drdiff_evaluation::sweep::Judge;

use crate::model::Source;

/// Opens a judge: a model of this program, or a Llama in GGUF or in a folder as Hugging Face keeps them.
pub(crate) fn open(path: &Path, device: &Device) -> Result<Box<dyn Judge>> {
    if !ours(path) {
        return Ok(Box::new(LlamaJudge::open(path, device)?));
    }
    let source = Source::find(Some(path))?;
    let (network, tokenizer) = source.load(device)?;
    Ok(Box::new(OwnJudge::new(
        name_of(path),
        source.hash(),
        network,
        tokenizer,
    )))
}

/// Whether a file or folder is a model of this program. What cannot be read is not, so that the Llama's reader says why.
fn ours(path: &Path) -> bool {
    Source::find(Some(path)).is_ok_and(|source| match source.is_gguf() {
        true => source.is_own_gguf(),
        // Hugging Face keeps the shape of a network in a file of its own, this program beside the weights.
        false => has_extension(&source.path, "safetensors") && !source.path.with_file_name("config.json").is_file(),
    })
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|extension| extension == wanted)
}
