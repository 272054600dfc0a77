//! Whether the sizes that a weights file names are those of its tensors, asked before anything is built from them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{Error, ModelConfig, Result};

/// A dimension of a tensor: the setting that it shows, and what it must be; `None` if that is more than can be counted.
type Shown = (&'static str, Option<usize>);

/// Holds the sizes of `config`, which come from the file at `path`, against the shapes of the tensors in that file, and then
/// asks whether a network can have them. Tensors that are missing are left to [`crate::build`], which names them all.
///
/// # Errors
/// [`Error::Mismatch`] with the first size that does not fit, or as [`ModelConfig::validate`].
pub(crate) fn check(config: &ModelConfig, path: &Path, shapes: &BTreeMap<&str, &[usize]>) -> Result<()> {
    let shown = path.display();
    let wrong = |what: String| {
        Err(Error::Mismatch(format!(
            "{shown} {what}; fetch the file again or name another"
        )))
    };
    let layers = config.layers;
    let blocks = shapes.keys().filter_map(|name| block(name)).max();
    let blocks = blocks.map_or(0, |highest| highest.saturating_add(1));
    // The state of a training run names its tensors in another way, but there are no fewer of them.
    if layers > shapes.len() || (blocks > 0 && blocks != layers) {
        return wrong(format!("names {layers} `layers` and has the tensors of {blocks}"));
    }
    for (name, dims) in wanted(config) {
        let Some(found) = shapes.get(name.as_str()) else {
            continue;
        };
        let fits = |((_, wanted), found): (&Shown, &usize)| *wanted == Some(*found);
        if found.len() != dims.len() || !dims.iter().zip(*found).all(fits) {
            let place = dims.iter().zip(*found).position(|pair| !fits(pair)).unwrap_or_default();
            let setting = dims.get(place).map_or("width", |(setting, _)| setting);
            return wrong(format!(
                "names a `{setting}` that its tensor `{name}` of shape {found:?} has not"
            ));
        }
    }
    config.validate()
}

/// The number of the block that a tensor belongs to.
fn block(name: &str) -> Option<usize> {
    name.strip_prefix("blocks.")?.split('.').next()?.parse().ok()
}

/// The tensors that show the sizes of a network, each of them at least once.
fn wanted(config: &ModelConfig) -> Vec<(String, Vec<Shown>)> {
    let ModelConfig {
        vocab,
        width,
        embed,
        heads,
        kv_heads,
        head_dim,
        hidden,
        ..
    } = *config;
    let product = |count: Option<usize>, size: usize| count.and_then(|count| count.checked_mul(size));
    let all_heads = kv_heads.checked_mul(2).and_then(|two| two.checked_add(heads));
    let width = ("width", Some(width));
    let embed = ("embed", Some(embed));
    let head = ("head_dim", Some(head_dim));
    let mut wanted = vec![
        ("embedding".to_owned(), vec![("vocab", Some(vocab)), embed]),
        ("token_map".to_owned(), vec![width, embed]),
    ];
    let mut block = |layer: usize, name: &str, dims: Vec<Shown>| wanted.push((format!("blocks.{layer}.{name}"), dims));
    block(0, "attention.q_gain", vec![head]);
    block(
        0,
        "attention.out",
        vec![width, ("heads", product(Some(heads), head_dim))],
    );
    block(
        0,
        "attention.qkv",
        vec![("kv_heads", product(all_heads, head_dim)), width],
    );
    block(0, "feed_forward.shared.down", vec![width, ("hidden", Some(hidden))]);
    let routing = &config.routing;
    let layer = routing.first_layer.unwrap_or(config.layers / 2);
    if routing.routes(layer, config.layers) {
        let experts = ("routing.experts", Some(routing.experts));
        let rows = ("routing.experts", product(width.1, routing.experts));
        let inner = ("routing.expert_hidden", Some(routing.expert_hidden));
        block(layer, "feed_forward.router.bias", vec![experts]);
        block(layer, "feed_forward.experts.down", vec![rows, inner]);
    }
    if let Some(numbers) = config.attention.retrieves() {
        let landmark = ("attention.retrieval.landmark", Some(numbers.landmark));
        wanted.push(("chunk_encoder.landmark_gain".to_owned(), vec![landmark]));
    }
    wanted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use candle_core::{DType, Device};
    use drdiff_kernels::params::Param;
    use drdiff_kernels::{Builder, Source};
    use drdiff_noise::Noise;

    use super::*;
    use crate::Network;

    const CONFIG: &str = r#"{"vocab":60,"width":32,"embed":24,"layers":4,"heads":4,"kv_heads":2,"head_dim":8,"hidden":48,"context":256,
        "routing":{"kind":"expert_choice","experts":3,"expert_hidden":16,"active":1.0,"spread":0.0},
        "attention":{"plan":"retrieval","retrieval":{"landmark":20}}}"#;

    fn shapes(config: &ModelConfig) -> BTreeMap<String, Vec<usize>> {
        let builder = Builder::new(Source::Init(Noise::new(4, 0)), &Device::Cpu);
        Network::new(&builder, config, DType::F32).unwrap();
        let dims = |param: &Param| match param {
            Param::Trained(var) => var.dims().to_vec(),
            Param::Fixed(_) | Param::Quantized(_) => panic!("new parameters are learned"),
        };
        let (params, _) = builder.finish();
        params
            .iter()
            .map(|(name, param)| (name.to_owned(), dims(param)))
            .collect()
    }

    #[test]
    fn every_size_is_held_against_a_tensor_that_there_is() {
        let config: ModelConfig = serde_json::from_str(CONFIG).unwrap();
        let shapes = shapes(&config);
        for (name, _) in wanted(&config) {
            assert!(shapes.contains_key(&name), "{name}");
        }
        let shapes = shapes
            .iter()
            .map(|(name, dims)| (name.as_str(), dims.as_slice()))
            .collect();
        let path = Path::new("m.safetensors");
        check(&config, path, &shapes).unwrap();
        let plain: serde_json::Value = serde_json::from_str(CONFIG).unwrap();
        for (setting, place) in [
            ("vocab", "/vocab"),
            ("width", "/width"),
            ("embed", "/embed"),
            ("layers", "/layers"),
            ("heads", "/heads"),
            ("kv_heads", "/kv_heads"),
            ("head_dim", "/head_dim"),
            ("hidden", "/hidden"),
            ("experts", "/routing/experts"),
            ("expert_hidden", "/routing/expert_hidden"),
            ("landmark", "/attention/retrieval/landmark"),
            ("context", "/context"),
        ] {
            for wrong in [0, 1, 1_000_000_000_000_u64, u64::MAX] {
                let mut changed = plain.clone();
                *changed.pointer_mut(place).unwrap() = wrong.into();
                let changed = serde_json::from_value(changed).unwrap();
                let told = check(&changed, path, &shapes).unwrap_err().to_string();
                assert!(
                    setting == "context" || told.contains("m.safetensors"),
                    "{setting} {wrong}: {told}"
                );
            }
        }
    }
}
