//! Weights survive their files; what does not fit or is damaged is refused with a reason.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use drdiff_kernels::{Builder, Loaded, Source};
use drdiff_model::{
    Checkpoint, Error, Loading, MatrixFormat, Metadata, ModelConfig, Network, build, load_checkpoint, read_gguf,
    save_checkpoint, save_gguf, save_gguf_as,
};
use drdiff_noise::Noise;
use drdiff_routing::Read;
use drdiff_testkit::{relative_rms, values};

fn config() -> ModelConfig {
    let json = r#"{"vocab":600,"width":64,"embed":64,"layers":1,"heads":2,"kv_heads":1,"head_dim":32,"hidden":96,"context":32}"#;
    serde_json::from_str(json).unwrap()
}

fn metadata() -> Metadata {
    Metadata {
        config: config(),
        step: 7,
        tokens: 99,
        tokenizer_hash: "abc".to_owned(),
        commit: "test".to_owned(),
        training: serde_json::json!({ "seed": 1 }),
    }
}

fn weights() -> Vec<(String, Tensor)> {
    let builder = Builder::new(Source::Init(Noise::new(4, 0)), &Device::Cpu);
    Network::new(&builder, &config(), DType::F32).unwrap();
    let (params, _) = builder.finish();
    params
        .vars()
        .map(|(name, var)| (name.to_owned(), var.as_tensor().clone()))
        .collect()
}

fn unit_rows(checkpoint: Checkpoint) -> Vec<f64> {
    let (network, _) = build(checkpoint, &Device::Cpu, Loading::Inference).unwrap();
    values(&network.head_rows().unwrap()).unwrap()
}

#[test]
fn a_configuration_without_a_plan_is_dense() {
    use drdiff_attention::{AttentionConfig, PlanKind};
    assert_eq!(config().attention, AttentionConfig::default());
    let mut sparse = config();
    sparse.attention.plan = PlanKind::LengthAdaptive;
    assert!(sparse.fits(&config()) && sparse != config());
    let json = serde_json::to_string(&sparse).unwrap();
    assert_eq!(serde_json::from_str::<ModelConfig>(&json).unwrap(), sparse);
    sparse.attention.length_adaptive.cell = 100;
    assert!(sparse.validate().unwrap_err().to_string().contains("multiple of 64"));
    assert!(!ModelConfig { width: 32, ..config() }.fits(&config()));
}

#[test]
fn a_configuration_without_routing_is_dense() {
    use drdiff_routing::{RouterKind, RoutingConfig};
    let dense = config();
    assert_eq!(dense.routing, RoutingConfig::default());
    let mut routed = config();
    routed.routing = serde_json::from_str(r#"{"kind": "expert_choice", "experts": 4, "expert_hidden": 32}"#).unwrap();
    routed.validate().unwrap();
    assert!(!routed.fits(&dense) && !dense.fits(&routed));
    // Another router takes the same weights.
    let mut other = routed.clone();
    (other.routing.kind, other.routing.z) = (RouterKind::TokenChoice, 0.0);
    assert!(other.fits(&routed));
    other.routing.experts = 5;
    assert!(!other.fits(&routed));
    other.routing.active = 9.0;
    assert!(
        other
            .validate()
            .unwrap_err()
            .to_string()
            .contains("`routing.active` is 9")
    );
    let json = serde_json::to_string(&routed).unwrap();
    assert_eq!(serde_json::from_str::<ModelConfig>(&json).unwrap(), routed);
}

#[test]
fn a_network_that_retrieves_has_weights_of_its_own() {
    let mut config = config();
    (config.context, config.layers) = (256, 4);
    let dense = config.clone();
    config.attention.plan = drdiff_attention::PlanKind::Retrieval;
    assert!(config.validate().is_ok() && !config.fits(&dense) && !dense.fits(&config));
    let mut other = config.clone();
    other.attention.retrieval.top_k = 3;
    assert!(other.fits(&config));
    other.attention.retrieval.landmark = 3;
    assert!(!other.fits(&config));
    other.attention.retrieval.groups = 3;
    assert!(other.validate().unwrap_err().to_string().contains("at most 2"));
}

#[test]
fn a_checkpoint_gives_back_what_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    save_checkpoint(&path, &metadata(), &weights()).unwrap();
    let loaded = load_checkpoint(&path, &Device::Cpu).unwrap();
    assert_eq!(loaded.metadata, metadata());
    assert_eq!(loaded.tensors.len(), weights().len());
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no temporary file is left"
    );
    unit_rows(loaded);
}

#[test]
fn a_quantised_file_is_close_to_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, small) = (folder.path().join("m.safetensors"), folder.path().join("m.gguf"));
    save_checkpoint(&plain, &metadata(), &weights()).unwrap();
    save_gguf(&small, &metadata(), &weights()).unwrap();
    let quantised = read_gguf(&std::fs::read(&small).unwrap(), &small, &Device::Cpu).unwrap();
    assert_eq!(quantised.metadata, metadata());
    let (want, got) = (
        unit_rows(load_checkpoint(&plain, &Device::Cpu).unwrap()),
        unit_rows(quantised),
    );
    // 8 bits a number: steps of 1/127 of the largest of 32, about 0.5 % of their root mean square.
    assert!(relative_rms("unit rows", &got, &want) < 0.01);
}

#[test]
fn experts_survive_their_files() {
    use drdiff_attention::{Segment, noisy_clean};
    use drdiff_kernels::{Rotary, TilePlan};
    use drdiff_model::Input;
    let folder = tempfile::tempdir().unwrap();
    let (plain, small) = (folder.path().join("m.safetensors"), folder.path().join("m.gguf"));
    let mut metadata = metadata();
    // Every expert takes every open row, so that rounding moves no row to another expert.
    let routing = r#"{"kind": "expert_choice", "experts": 8, "expert_hidden": 64, "first_layer": 0, "active": 8.0}"#;
    metadata.config.routing = serde_json::from_str(routing).unwrap();
    let builder = Builder::new(Source::Init(Noise::new(4, 0)), &Device::Cpu);
    Network::new(&builder, &metadata.config, DType::F32).unwrap();
    let (params, _) = builder.finish();
    let tensors: Vec<(String, Tensor)> = params
        .vars()
        .map(|(name, var)| (name.to_owned(), var.as_tensor().clone()))
        .collect();
    save_checkpoint(&plain, &metadata, &tensors).unwrap();
    save_gguf(&small, &metadata, &tensors).unwrap();
    let quantised = read_gguf(&std::fs::read(&small).unwrap(), &small, &Device::Cpu).unwrap();
    let stack = &quantised.tensors["blocks.0.feed_forward.experts.gate_up"];
    assert!(matches!(stack, Loaded::Quantized(tensor) if tensor.dtype() == GgmlDType::Q8_0));
    let evidence = |checkpoint: Checkpoint, settled: bool| {
        let (network, _) = build(checkpoint, &Device::Cpu, Loading::Inference).unwrap();
        let mut input = Input::discrete(Tensor::new(&[600u32, 600, 5, 600, 1, 2, 5, 3], &Device::Cpu).unwrap());
        input.groups.block(&[!settled, true, false, true], 0.25, 1.0);
        input.groups.settled(4);
        input.read = Read::Rows(Tensor::new(&[0u32, 1, 3], &Device::Cpu).unwrap());
        let segment = Segment {
            batch: 1,
            len: 8,
            plan: TilePlan::new(&[noisy_clean(4, 4).unwrap()]).unwrap().into(),
            units: None,
            rotary: &Rotary::new(&[(0..4).chain(0..4).collect()], 32, 10_000.0, &Device::Cpu).unwrap(),
            past: None,
        };
        let tables = network.tables(None).unwrap();
        let hidden = network
            .hidden(&tables, &input, &mut [segment], &mut Default::default())
            .unwrap();
        values(network.evidence(&hidden).unwrap().tensor()).unwrap()
    };
    let want = evidence(load_checkpoint(&plain, &Device::Cpu).unwrap(), false);
    // Weights and activations of 8 bits, through a few maps.
    assert!(relative_rms("evidence", &evidence(quantised, false), &want) < 0.03);
    let without = evidence(load_checkpoint(&plain, &Device::Cpu).unwrap(), true);
    assert!(relative_rms("an expert less", &without, &want) > 0.01, "experts count");
}

#[test]
fn plain_tables_survive_their_files() {
    use drdiff_model::next_token_nats;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let mut metadata = metadata();
    let config = r#"{"vocab": 64, "width": 64, "embed": 64, "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 16, "hidden": 96,
        "context": 32, "qk_norm_eps": null, "head": "tied", "causal_context": true, "next_token": true}"#;
    metadata.config = serde_json::from_str(config).unwrap();
    let builder = Builder::new(Source::Init(Noise::new(4, 0)), &Device::Cpu);
    let network = Network::new(&builder, &metadata.config, DType::F32).unwrap();
    let (params, _) = builder.finish();
    // Rows of different lengths, which unit rows would lose.
    let scales = Tensor::arange(0f32, 64.0, &Device::Cpu)
        .unwrap()
        .reshape((64, 1))
        .unwrap();
    let embedding = params.vars().find(|(name, _)| *name == "embedding").unwrap().1;
    embedding
        .set(&embedding.as_tensor().broadcast_mul(&scales).unwrap())
        .unwrap();
    let tensors: Vec<(String, Tensor)> = params
        .vars()
        .map(|(name, var)| (name.to_owned(), var.as_tensor().clone()))
        .collect();
    let ids: Vec<u32> = (0..32).map(|i| i * i % 64).collect();
    let want = next_token_nats(&network, &ids, 1).unwrap();
    save_gguf(&path, &metadata, &tensors).unwrap();
    let read = read_gguf(&std::fs::read(&path).unwrap(), &path, &Device::Cpu).unwrap();
    let (small, _) = build(read, &Device::Cpu, Loading::Inference).unwrap();
    assert!(relative_rms("nats", &next_token_nats(&small, &ids, 1).unwrap(), &want) < 0.03);
}

#[test]
fn four_bits_stay_close_and_take_less_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let mut metadata = metadata();
    // Rows of 256 numbers, so that they can have 4 bits; the rows of `hidden` cannot.
    (metadata.config.width, metadata.config.hidden) = (256, 288);
    let builder = Builder::new(Source::Init(Noise::new(4, 0)), &Device::Cpu);
    Network::new(&builder, &metadata.config, DType::F32).unwrap();
    let (params, _) = builder.finish();
    let weights: Vec<(String, Tensor)> = params
        .vars()
        .map(|(name, var)| (name.to_owned(), var.as_tensor().clone()))
        .collect();
    let saved = |format| {
        save_gguf_as(&path, &metadata, &weights, format).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        (bytes.len(), read_gguf(&bytes, &path, &Device::Cpu).unwrap())
    };
    let (eight, _) = saved(MatrixFormat::Q8_0);
    let (four, checkpoint) = saved(MatrixFormat::Q4K);
    assert!(four < eight * 4 / 5, "{four} against {eight} bytes");
    let mut formats = Vec::new();
    for (name, dense) in &weights {
        let Loaded::Quantized(tensor) = &checkpoint.tensors[name] else {
            continue;
        };
        formats.push(tensor.dtype());
        if name != "embedding" {
            let got = values(&tensor.dequantize(&Device::Cpu).unwrap()).unwrap();
            // Steps of a fifteenth of the range of 32 numbers.
            assert!(relative_rms(name, &got, &values(dense).unwrap()) < 0.1, "{name}");
        }
    }
    assert!(formats.contains(&GgmlDType::Q4K) && formats.contains(&GgmlDType::Q8_0));
    let (network, _) = build(checkpoint, &Device::Cpu, Loading::Inference).unwrap();
    assert_eq!(network.head_rows().unwrap().dims(), [600, 64]);
}

#[test]
fn rows_of_any_blocks_of_32_take_four_or_five_bits() {
    use drdiff_model::next_token_nats;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let mut metadata = metadata();
    // Rows of 288 and 160 numbers: no multiples of 256.
    let config = r#"{"vocab": 96, "width": 288, "embed": 288, "layers": 2, "heads": 9, "kv_heads": 3, "head_dim": 32, "hidden": 160,
        "context": 32, "qk_norm_eps": null, "head": "tied", "causal_context": true, "next_token": true}"#;
    metadata.config = serde_json::from_str(config).unwrap();
    let builder = Builder::new(Source::Init(Noise::new(4, 0)), &Device::Cpu);
    let network = Network::new(&builder, &metadata.config, DType::F32).unwrap();
    let (params, _) = builder.finish();
    let weights: Vec<(String, Tensor)> = params
        .vars()
        .map(|(name, var)| (name.to_owned(), var.as_tensor().clone()))
        .collect();
    let ids: Vec<u32> = (0..32).map(|i| i * i % 96).collect();
    let want = next_token_nats(&network, &ids, 1).unwrap();
    let read = |tensors: &[(String, Tensor)], format| {
        save_gguf_as(&path, &metadata, tensors, format).unwrap();
        read_gguf(&std::fs::read(&path).unwrap(), &path, &Device::Cpu).unwrap()
    };
    let nats = |checkpoint| {
        let (small, _) = build(checkpoint, &Device::Cpu, Loading::Inference).unwrap();
        relative_rms("nats", &next_token_nats(&small, &ids, 1).unwrap(), &want)
    };
    // Errors of a step: half of a 16th or 32nd of the range of 32 numbers.
    for (format, kind, close) in [
        (MatrixFormat::Q4_0, GgmlDType::Q4_0, 0.13),
        (MatrixFormat::Q4_1, GgmlDType::Q4_1, 0.1),
        (MatrixFormat::Q5_0, GgmlDType::Q5_0, 0.06),
    ] {
        let checkpoint = read(&weights, format);
        assert_eq!(checkpoint.metadata, metadata);
        for (name, dense) in &weights {
            let Loaded::Quantized(tensor) = &checkpoint.tensors[name] else {
                continue;
            };
            let got = values(&tensor.dequantize(&Device::Cpu).unwrap()).unwrap();
            let is_wide = name == "embedding" && kind != GgmlDType::Q5_0;
            assert_eq!(tensor.dtype(), if is_wide { GgmlDType::Q8_0 } else { kind }, "{name}");
            assert!(
                relative_rms(name, &got, &values(dense).unwrap()) < close,
                "{name} as {kind:?}"
            );
        }
        let error = nats(checkpoint);
        assert!(error < close, "{kind:?}: {error}");

        // A file of 8 bits becomes one of fewer; one of few bits becomes none.
        let eight = read(&weights, MatrixFormat::Q8_0).tensors.into_iter();
        let wide: Vec<_> = eight
            .map(|(name, tensor)| (name, format.wider(tensor).unwrap().unwrap()))
            .collect();
        let again = read(&wide, format);
        let mut refused = read(&wide, format).tensors.into_values();
        assert!(refused.any(|tensor| format.wider(tensor).unwrap().is_none()));
        let error = nats(again);
        assert!(error < close, "{kind:?} of 8 bits: {error}");
    }
    let mut eight = read(&weights, MatrixFormat::Q8_0).tensors.into_values();
    assert!(eight.any(|tensor| MatrixFormat::Q8_0.wider(tensor).unwrap().is_none()));
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    save_checkpoint(&path, &metadata(), &weights()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for cut in [0, 5, 200, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert!(
            matches!(load_checkpoint(&path, &Device::Cpu), Err(Error::Corrupt { .. })),
            "cut at {cut}"
        );
    }
    assert!(matches!(
        read_gguf(&bytes[..99], Path::new("x.gguf"), &Device::Cpu),
        Err(Error::Corrupt { .. })
    ));
    let mut broken = weights();
    broken[2].1 = (broken[2].1.clone() * f64::NAN).unwrap();
    save_checkpoint(&path, &metadata(), &broken).unwrap();
    let error = load_checkpoint(&path, &Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("not finite") && error.contains(&broken[2].0), "{error}");
}

#[test]
fn one_report_names_everything_that_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut tensors = weights();
    let (lost, _) = tensors.remove(0);
    tensors.push((
        "stranger".to_owned(),
        Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap(),
    ));
    let bias = tensors.iter_mut().find(|(name, _)| name == "bias").unwrap();
    bias.1 = Tensor::zeros(5, DType::F32, &Device::Cpu).unwrap();
    save_checkpoint(&path, &metadata(), &tensors).unwrap();
    let checkpoint = load_checkpoint(&path, &Device::Cpu).unwrap();
    let Err(Error::Mismatch(report)) = build(checkpoint, &Device::Cpu, Loading::Inference) else {
        panic!("it must not load")
    };
    for part in [lost.as_str(), "stranger", "bias (wants [600], is [5])"] {
        assert!(report.contains(part), "{part} in: {report}");
    }
}
