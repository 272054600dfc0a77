use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use drdiff_attention::{Segment, block_causal};
use drdiff_diffusion::{LevelMixture, Levels};
use drdiff_kernels::{Builder, Loaded, Params, Source, Tape, Taught, TilePlan};
use drdiff_model::Layouts;
use drdiff_model::{
    Imported, Input, Loading, Loss, ModelConfig, Network, NoisedBatch, TrainableNetwork, build_network, next_token_nats,
};
use drdiff_noise::Noise;
use drdiff_routing::ComputeReport;
use drdiff_testkit::{assert_all_learn, assert_close, values};

use super::*;
use crate::{Optimizer, OptimizerConfig, TrainConfig};

const LEN: usize = 24;
const BLOCK: usize = 8;
const VOCAB: usize = 30;
/// Token that ends documents.
const END: u32 = 0;

/// A language model of random weights.
fn language_model(bias: bool, qk_norm: bool, separate: bool) -> Imported {
    let config: ModelConfig = serde_json::from_value(serde_json::json!({
        "vocab": VOCAB, "width": 32, "embed": 32, "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 8, "hidden": 48,
        "context": LEN, "qk_norm_eps": qk_norm.then_some(1e-6), "qkv_bias": bias, "mask": "absent",
        "head": if separate { "separate" } else { "tied" }, "causal_context": true, "next_token": true,
    }))
    .unwrap();
    let builder = Builder::new(Source::Init(Noise::new(7, 0)), &Device::Cpu);
    Network::new(&builder, &config, DType::F32).unwrap();
    let params = builder.finish().0;
    let named = |(name, var): (&str, &candle_core::Var)| {
        let louder = if name.contains("embedding") { 20.0 } else { 1.0 };
        (
            name.to_owned(),
            Loaded::Dense((var.as_tensor().detach() * louder).unwrap()),
        )
    };
    let tensors = params.vars().map(named).collect();
    Imported { config, tensors }
}

fn student(original: Imported) -> (Network, Params) {
    let Imported { config, tensors } = original.with_mask().unwrap();
    build_network(&config, tensors, &Device::Cpu, Loading::Training).unwrap()
}

/// Tokens of two windows, and the levels of one draw.
fn drawn(key: u64) -> (Vec<u32>, Levels) {
    let tokens = (0..2 * LEN as u32).map(|i| (i * i + i / 7) % VOCAB as u32).collect();
    let mut mixture = LevelMixture::absorbing_only();
    mixture.mask_order.left_to_right = 1.0;
    (tokens, mixture.draw(&Noise::new(3, 0), key, 2, LEN, BLOCK).unwrap())
}

fn config(model: &ModelConfig) -> TrainConfig {
    serde_json::from_value(serde_json::json!({
        "model": model, "steps": 2, "batch": 2, "block_sizes": {"8": 1.0}, "validation_blocks": [8], "adapt": {},
    }))
    .unwrap()
}

/// The loss of a draw, which `original` teaches by 0.7 if it is given.
fn cost(network: &Network, key: u64, original: Option<&Original>, tape: Option<&Tape>) -> Loss {
    let (tokens, levels) = drawn(key);
    let sizes = (VOCAB, network.config().embed);
    let corrupted = NoisedBatch::new(&tokens, &levels, 2, sizes, (Noise::new(4, 0), key))
        .in_blocks(&levels, BLOCK, 1.0)
        .with_next_tokens(&tokens, END, 0.5);
    let guided = Guided::new(&corrupted, &levels, (LEN, BLOCK), 0.7);
    let taught = original.map(|original| original.teach(&tokens, &guided).unwrap());
    let layouts = Layouts::new(network.config(), LEN, &Device::Cpu).unwrap();
    let layout = layouts.of(&corrupted, BLOCK).unwrap();
    network.loss(&corrupted, &layout, false, taught.as_ref(), tape).unwrap()
}

#[test]
fn every_parameter_of_every_family_learns() {
    for (bias, qk_norm, separate) in [(false, false, false), (true, false, true), (false, true, false)] {
        let (network, params) = student(language_model(bias, qk_norm, separate));
        let original = language_model(bias, qk_norm, separate);
        let original = Original::new(original, &config(network.config()), &Device::Cpu).unwrap();
        for teacher in [None, Some(&original)] {
            let tape = Tape::new();
            let loss = cost(&network, 1, teacher, Some(&tape));
            let gradients = tape.backward(&loss.objective().unwrap()).unwrap();
            assert_all_learn(params.vars(), |parameter| gradients.get(parameter));
        }
    }
}

#[test]
fn the_clean_half_is_the_autoregressive_model() {
    let (network, _) = student(language_model(false, false, false));
    let (tokens, _) = drawn(1);
    let mut nats = Vec::new();
    for window in tokens.chunks(LEN) {
        let all = next_token_nats(&network, window, 1).unwrap();
        let kept = window.windows(2).zip(all).filter(|(pair, _)| pair[0] != END);
        nats.extend(kept.map(|(_, nats)| nats));
    }
    let found = cost(&network, 1, None, None);
    let next = found.nats.dim(0).unwrap() - nats.len();
    let clean = values(&found.nats.narrow(0, next, nats.len()).unwrap()).unwrap();
    assert_close("nats of next tokens", &clean, &nats);
    let mean = nats.iter().sum::<f64>() / nats.len() as f64;
    assert_close("their mean", &values(&found.next_token.unwrap()).unwrap(), &[mean]);
    let sum = values(&found.noisy).unwrap()[0] + 0.5 * mean;
    assert_close("both halves", &values(found.value.tensor()).unwrap(), &[sum]);
}

#[test]
fn a_table_in_few_bits_gives_the_loss_of_its_numbers() {
    let nats = |stored: fn(QTensor) -> Loaded| {
        let Imported { config, mut tensors } = language_model(false, false, false).with_mask().unwrap();
        let Some(Loaded::Dense(table)) = tensors.remove("embedding") else {
            panic!("the table is dense");
        };
        let table = QTensor::quantize(&table, GgmlDType::Q8_0).unwrap();
        tensors.insert("embedding".to_owned(), stored(table));
        let (network, _) = build_network(&config, tensors, &Device::Cpu, Loading::Inference).unwrap();
        values(&cost(&network, 1, None, None).nats).unwrap()
    };
    let whole = nats(|table| Loaded::Dense(table.dequantize(&Device::Cpu).unwrap()));
    assert_close("nats", &nats(Loaded::Quantized), &whole);
}

/// Rows of the original at all positions of a window.
fn rows(network: &Network, window: &[u32]) -> Tensor {
    let rotary = network
        .config()
        .rotary(&[(0..LEN as i64).collect()], &Device::Cpu)
        .unwrap();
    let segment = Segment {
        batch: 1,
        len: LEN,
        plan: TilePlan::new(&[block_causal(LEN, 1).unwrap()]).unwrap().into(),
        units: None,
        rotary: &rotary,
        past: None,
    };
    let input = Input::discrete(Tensor::from_slice(window, LEN, &Device::Cpu).unwrap());
    let tables = network.tables(None).unwrap();
    let hidden = network.hidden(&tables, &input, &mut [segment], &mut ComputeReport::default());
    network.evidence(&hidden.unwrap()).unwrap().tensor().clone()
}

#[test]
fn the_original_says_what_it_says_alone() {
    let (student, _) = student(language_model(false, true, false));
    let original = language_model(false, true, false);
    let original = Original::new(original, &config(student.config()), &Device::Cpu).unwrap();
    let alone = language_model(false, true, false);
    let (alone, _) = build_network(&alone.config, alone.tensors, &Device::Cpu, Loading::Inference).unwrap();
    let (tokens, levels) = drawn(2);
    let corrupted = NoisedBatch::new(&tokens, &levels, 2, (VOCAB, 32), (Noise::new(4, 0), 0));
    let guided = Guided::new(&corrupted, &levels, (LEN, BLOCK), 1.0);
    let Taught { h, .. } = original.teach(&tokens, &guided).unwrap();
    let all: Vec<Tensor> = tokens.chunks(LEN).map(|window| rows(&alone, window)).collect();
    let all = values(&Tensor::cat(&all, 0).unwrap()).unwrap();
    let wanted: Vec<f64> = guided
        .rows
        .iter()
        .flat_map(|row| all[*row as usize * 32..(*row as usize + 1) * 32].to_vec())
        .collect();
    assert_close("rows", &values(&h).unwrap(), &wanted);
}

#[test]
fn one_batch_is_learnt_by_heart() {
    let (network, params) = student(language_model(false, false, false));
    let config = OptimizerConfig {
        ema: 0.0,
        ..OptimizerConfig::default()
    };
    let mut optimizer = Optimizer::new(&params, &config).unwrap();
    let number = |loss: &Loss| values(loss.value.tensor()).unwrap()[0];
    let first = number(&cost(&network, 1, None, None));
    for _ in 0..150 {
        let tape = Tape::new();
        let loss = cost(&network, 1, None, Some(&tape));
        optimizer
            .step(tape.backward(&loss.objective().unwrap()).unwrap(), 5e-3, &config)
            .unwrap();
    }
    let last = number(&cost(&network, 1, None, None));
    assert!(first > 3.0 && last < 0.1, "from {first} to {last}");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let model = language_model(false, false, false).with_mask().unwrap().config;
    let message = |change: fn(&mut TrainConfig)| {
        let mut config = config(&model);
        config.levels = LevelMixture::absorbing_only();
        config.validate().unwrap();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert!(message(|c| c.adapt.as_mut().unwrap().teacher = 1.5).contains("adapt.teacher"));
    assert!(message(|c| c.adapt.as_mut().unwrap().next_token = -1.0).contains("adapt.next_token"));
    assert!(message(|c| c.model.next_token = false).contains("--from"));
    assert!(message(|c| c.levels.gaussian = 0.1).contains("levels.gaussian"));
    assert!(message(|c| c.self_conditioning = 0.5).contains("self_conditioning"));
    assert!(message(|c| c.distill = Some(crate::DistillConfig::default())).contains("distill"));
    let mut other = language_model(false, false, false);
    other.config.vocab += 1;
    let error = Original::new(other, &config(&model), &Device::Cpu)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("same vocabulary of 30"), "{error}");
}
