//! One pass of a network with random weights, for comparing with other engines at their size.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use drdiff_attention::{LayerPlans, block_causal};
use drdiff_files::Unfinished;
use drdiff_kernels::params::Param;
use drdiff_kernels::{Builder, Loaded, Params, Source, TilePlan};
use drdiff_model::{
    CachePool, Checkpoint, DenoisingNetwork, Loading, MatrixFormat, Metadata, ModelConfig, Network, TokenBatch, build,
    read_gguf, save_gguf_as,
};
use drdiff_noise::{Noise, Purpose};

use super::clock::Clock;
use super::report::Report;
use super::row::{Machine, Row, Sizes, Subject, Work};

/// Sizes of a network to time.
#[derive(Debug)]
pub(super) struct Shape {
    name: &'static str,
    layers: usize,
    width: usize,
    heads: usize,
    hidden: usize,
    vocab: usize,
    positions: usize,
}

/// What LLaDA-style engines call 165 M: they count input and output table, which here are one.
pub(super) const LARGE: Shape = Shape {
    name: "random-165m",
    layers: 12,
    width: 768,
    heads: 12,
    hidden: 2048,
    vocab: 50_258,
    positions: 512,
};

const QUANTISED: [(MatrixFormat, &str); 2] = [(MatrixFormat::Q4K, "q4_k"), (MatrixFormat::Q8_0, "q8_0")];

impl Shape {
    fn config(&self) -> Result<ModelConfig> {
        Ok(serde_json::from_value(serde_json::json!({
            "vocab": self.vocab, "width": self.width, "embed": self.width, "layers": self.layers,
            "heads": self.heads, "kv_heads": self.heads, "head_dim": self.width / self.heads,
            "hidden": self.hidden, "context": self.positions,
        }))?)
    }
}

/// Times a pass in the device's own type and, on a CPU, in few bits.
pub(super) fn run(shape: &Shape, seed: u64, machine: &Machine, clock: &Clock, report: &mut Report) -> Result<()> {
    let (config, noise) = (shape.config()?, Noise::new(seed, 0));
    let metadata = Metadata {
        config: config.clone(),
        step: 0,
        tokens: 0,
        tokenizer_hash: String::new(),
        commit: crate::COMMIT.to_owned(),
        training: serde_json::Value::Null,
    };
    let tensors = draw(&config, noise)?;
    // Small models go first: the peak of a process's memory never falls.
    if machine.device.is_cpu() {
        let folder = tempfile::tempdir()?;
        let _unfinished = Unfinished::new(folder.path());
        let path = folder.path().join("random.gguf");
        for (format, dtype) in QUANTISED {
            save_gguf_as(&path, &metadata, &tensors, format)?;
            let checkpoint = read_gguf(&std::fs::read(&path)?, &path, &machine.device)?;
            let (network, params) = build(checkpoint, &machine.device, Loading::Inference)?;
            report.add(time(shape, &network, &params, dtype, noise, machine, clock)?)?;
        }
    }
    let mut loaded = Vec::new();
    for (name, tensor) in tensors {
        loaded.push((name, Loaded::Dense(tensor.to_device(&machine.device)?)));
    }
    let checkpoint = Checkpoint {
        metadata,
        tensors: loaded.into_iter().collect(),
    };
    let (network, params) = build(checkpoint, &machine.device, Loading::Inference)?;
    let dtype = network.dtype().as_str();
    report.add(time(shape, &network, &params, dtype, noise, machine, clock)?)
}

/// New weights on the CPU, by name.
fn draw(config: &ModelConfig, noise: Noise) -> Result<Vec<(String, Tensor)>> {
    let builder = Builder::new(Source::Init(noise), &Device::Cpu);
    Network::new(&builder, config, DType::F32)?;
    let (params, _) = builder.finish();
    Ok(params
        .vars()
        .map(|(name, var)| (name.to_owned(), var.as_detached_tensor()))
        .collect())
}

/// One pass over absorbed and clean positions, half and half, with logits at all of them.
fn time(
    shape: &Shape,
    network: &dyn DenoisingNetwork,
    params: &Params,
    dtype: &'static str,
    noise: Noise,
    machine: &Machine,
    clock: &Clock,
) -> Result<Row> {
    let (spec, n) = (network.spec(), shape.positions);
    let index: Vec<u32> = (0..n)
        .map(|position| match position % 2 {
            0 => spec.vocab as u32,
            _ => (noise.uniform(Purpose::Data, 0, position as u64) * spec.vocab as f64) as u32,
        })
        .collect();
    let plan = LayerPlans::from(TilePlan::new(&[block_causal(n, n)?])?);
    let batch = TokenBatch::text(spec, &index, plan.into(), 0..n);
    let mut pool = CachePool::default();
    let timing = clock.time(|| {
        network.forward(&batch, &mut [], &mut pool, &mut Default::default())?;
        Ok(())
    })?;
    let subject = Subject {
        bench: "generate",
        what: "step",
        variant: shape.name.to_owned(),
        peer: None,
        shape: Sizes(vec![("n", n), ("params", params.element_count())]),
        dtype,
        density: None,
    };
    let work = Work {
        tokens: Some(n as u64),
        flops: Some(
            batch
                .segments()
                .iter()
                .map(|text| network.flops(&text.counts, &text.visible).0)
                .sum(),
        ),
        bytes: Some(weight_bytes(params)),
    };
    Ok(Row::new(subject, machine, timing, work))
}

/// Bytes of all weights, as they are stored.
fn weight_bytes(params: &Params) -> u64 {
    let size = |param: &Param| match param {
        Param::Trained(var) => var.elem_count() * var.dtype().size_in_bytes(),
        Param::Fixed(tensor) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
        Param::Quantized(tensor) => tensor.storage_size_in_bytes(),
    };
    params.iter().map(|(_, param)| size(param) as u64).sum()
}

#[cfg(test)]
mod tests {
    use drdiff_model::Rows;

    use super::*;

    #[test]
    fn operations_are_those_of_the_matrices() {
        let config = LARGE.config().unwrap();
        let plan = LayerPlans::from(TilePlan::new(&[block_causal(512, 512).unwrap()]).unwrap());
        let rows = Rows {
            all: 512,
            open: 512,
            ..Rows::default()
        };
        let blocks = 12 * (4 * 768 * 768 + 3 * 768 * 2048);
        let head = 768 * (768 + 50_258);
        let attention = 12 * 4 * 512 * 512 * 768;
        assert_eq!(rows.flops(&config, &plan.into()), 1024 * (blocks + head) + attention);
    }

    #[test]
    fn all_forms_of_a_small_network_are_timed() {
        let shape = Shape {
            name: "tiny",
            layers: 1,
            width: 64,
            heads: 2,
            hidden: 128,
            vocab: 500,
            positions: 20,
        };
        let machine = Machine {
            device: Device::Cpu,
            name: "cpu".to_owned(),
            threads: None,
        };
        let clock = Clock::new(&machine.device, 1, 0);
        let mut report = Report::new(false);
        run(&shape, 1, &machine, &clock, &mut report).unwrap();
        let rows = report.rows();
        let dtypes: Vec<&str> = rows.iter().map(|row| row.subject.dtype).collect();
        assert_eq!(dtypes, ["q4_k", "q8_0", "f32"]);
        assert!(rows.iter().all(|row| row.ms > 0.0 && row.flops_per_s.is_some()));
    }
}
