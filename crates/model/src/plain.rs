//! The short way of a single row through a plain network on a CPU.

use drdiff_attention::{Past, Reads, Segment};
use drdiff_kernels::{Params, PlainLayer, PlainLayers, PlainSizes, Value};
use drdiff_routing::{ComputeReport, Read};

use crate::{Head, Input, ModelConfig, Result};

/// The layers of a network of this configuration, if they are plain and in blocks of a few bits.
pub(crate) fn layers(config: &ModelConfig, params: &Params) -> Option<PlainLayers> {
    let routed = config.routing.routed_layers(config.layers).next().is_some();
    let beside = config.attention.neighbours > 0 || config.attention.retrieves().is_some() || !config.form.is_plain();
    if config.head == Head::Evidence || config.noise_conditioning || config.embedding_skips || routed || beside {
        return None;
    }
    let layer = |layer| PlainLayer::of(params, &format!("blocks.{layer}"), config.head_dim);
    let layers = (0..config.layers).map(layer).collect::<Option<_>>()?;
    let sizes = PlainSizes {
        width: config.width,
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        hidden: config.hidden,
        norm_eps: config.norm_eps,
        head_eps: config.qk_norm_eps.map(|eps| eps as f32),
    };
    PlainLayers::new(layers, sizes)
}

/// The residual stream behind the last layer, if the pass is one row of one text that reads all of its window.
pub(crate) fn stream(
    layers: &PlainLayers,
    (config, x): (&ModelConfig, &Value),
    input: &Input,
    segments: &[Segment<'_>],
    report: &mut ComputeReport,
) -> Result<Option<Value>> {
    let [segment] = segments else { return Ok(None) };
    let (Some(Past::Cache(cache)), Read::Rows(read)) = (&segment.past, &input.read) else {
        return Ok(None);
    };
    if (segment.batch, segment.len, read.dims()) != (1, 1, &[1]) || x.is_recorded() {
        return Ok(None);
    }
    let Some(memory) = cache.window()? else { return Ok(None) };
    let whole = |layer| match segment.plan.of(layer) {
        Reads::Tiles(plan) => plan.queries() == 1 && plan.cost().pairs == memory.seen() as u64,
        Reads::Trees { .. } | Reads::Causal(_) => false,
    };
    if !(0..config.layers).all(whole) {
        return Ok(None);
    }
    let row = x.tensor().flatten_all()?.to_vec1::<f32>()?;
    let stream = layers.forward(&row, segment.rotary, &memory)?;
    for layer in 0..config.layers {
        report.add(layer, 1, 6 * (config.width * config.hidden) as u64);
    }
    let stream = candle_core::Tensor::from_vec(stream, (1, config.width), x.tensor().device())?;
    Ok(Some(Value::constant(&stream)))
}
