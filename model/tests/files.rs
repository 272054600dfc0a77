//! Weights survive their files; what does not fit or is damaged is refused with a reason.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use drdiff_kernels::{Builder, Noise, Source};
use drdiff_model::{
    Checkpoint, Error, Loading, Metadata, ModelConfig, Network, build, load_checkpoint, read_gguf, save_checkpoint,
    save_gguf,
};
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
    values(&network.unit_embeddings().unwrap()).unwrap()
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
