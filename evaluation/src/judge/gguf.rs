//! A judge in one GGUF file, weights and vocabulary.

use std::fs::File;
use std::io::Seek;
use std::path::Path;

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Result};

use super::llama::{Llama, Pairs, Sizes, Weight};
use super::vocabulary;
use super::{Parts, first_line};
use crate::sweep::SweepError;

/// Reads the file.
pub(super) fn read(path: &Path, device: &Device) -> std::result::Result<Parts, SweepError> {
    let wrong = |reason: String| super::unfit(path, &reason);
    let unreadable = |source| super::unreadable(path, source);
    let mut file = File::open(path).map_err(unreadable)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut file).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    let content = Content::read(&mut file).map_err(|e| wrong(first_line(&e)))?;
    let (tokenizer, start) = vocabulary::read(&content).map_err(wrong)?;
    let network = network(&content, &mut file, device).map_err(|e| wrong(first_line(&e)))?;
    Ok(Parts {
        hash: hasher.finalize().to_hex().to_string(),
        network,
        tokenizer,
        start,
    })
}

fn network(content: &Content, file: &mut File, device: &Device) -> Result<Llama> {
    let number = |key: &str| match content.metadata.get(key) {
        Some(value) => value.to_u32().map(|value| value as usize),
        None => candle_core::bail!("it has no `{key}`"),
    };
    let float = |key: &str| content.metadata.get(key).and_then(|value| value.to_f32().ok());
    let heads = number("llama.attention.head_count")?;
    let head_dim = match number("llama.attention.key_length") {
        Ok(wide) => wide,
        Err(_) => number("llama.embedding_length")? / heads,
    };
    let sizes = Sizes {
        layers: number("llama.block_count")?,
        heads,
        kv_heads: number("llama.attention.head_count_kv")?,
        head_dim,
        eps: float("llama.attention.layer_norm_rms_epsilon").unwrap_or(1e-5),
        rope_base: float("llama.rope.freq_base").map_or(10_000.0, f64::from),
        pairs: Pairs::Neighbours,
    };
    Llama::new(sizes, |weight| {
        let name = name(weight);
        if !content.tensor_infos.contains_key(&name) {
            return Ok(None);
        }
        content
            .tensor(file, &name, &Device::Cpu)?
            .dequantize(&Device::Cpu)?
            .to_device(device)
            .map(Some)
    })
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
