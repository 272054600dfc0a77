//! A judge in one GGUF file, weights and vocabulary.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use drdiff_kernels::{Loaded, MappedFile};
use drdiff_model::GgufHeader;

use super::llama::{Llama, Weight};
use super::{Parts, first_line, settings, unused, vocabulary};
use crate::sweep::SweepError;

/// Reads the file.
pub(super) fn read(path: &Path, device: &Device) -> Result<Parts, SweepError> {
    let wrong = |reason: String| super::unfit(path, &reason);
    let bytes = MappedFile::open(path).map_err(|source| super::unreadable(path, source))?;
    let header = GgufHeader::read(&bytes).map_err(wrong)?;
    let sizes = settings::read(&header).map_err(wrong)?;
    let names = header.shapes().map(|(name, _)| name);
    let used = || Weight::all(sizes.layers).map(name).collect();
    unused::refuse(names, sizes.layers, used).map_err(wrong)?;
    let (tokenizer, start) = vocabulary::read(&header).map_err(wrong)?;
    let network = Llama::new(&sizes, |weight| single(&header, &name(weight), device)).map_err(wrong)?;
    Ok(Parts {
        hash: blake3::hash(&bytes).to_hex().to_string(),
        network,
        tokenizer,
        start,
    })
}

/// A tensor in f32 on the device.
fn single(header: &GgufHeader<'_>, name: &str, device: &Device) -> Result<Option<Tensor>, String> {
    let tensor = match header.tensor(name)? {
        None => return Ok(None),
        Some(Loaded::Dense(tensor)) => tensor.to_dtype(DType::F32),
        Some(Loaded::Quantized(tensor)) => tensor.dequantize(&Device::Cpu),
    };
    let placed = tensor.and_then(|tensor| tensor.to_device(device));
    placed.map(Some).map_err(|e| first_line(&e))
}

fn name(weight: Weight) -> String {
    let of = |layer: usize, name: &str| format!("blk.{layer}.{name}.weight");
    match weight {
        Weight::Embedding => "token_embd.weight".to_owned(),
        Weight::Norm => "output_norm.weight".to_owned(),
        Weight::Output => "output.weight".to_owned(),
        Weight::AttentionNorm(layer) => of(layer, "attn_norm"),
        Weight::Query(layer) => of(layer, "attn_q"),
        Weight::Key(layer) => of(layer, "attn_k"),
        Weight::Value(layer) => of(layer, "attn_v"),
        Weight::Out(layer) => of(layer, "attn_output"),
        Weight::FeedForwardNorm(layer) => of(layer, "ffn_norm"),
        Weight::Gate(layer) => of(layer, "ffn_gate"),
        Weight::Up(layer) => of(layer, "ffn_up"),
        Weight::Down(layer) => of(layer, "ffn_down"),
    }
}
