//! The judge with real weights, where there are some: `DRDIFF_JUDGE=smollm2.gguf cargo test -p drdiff-evaluation`.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use drdiff_data::documents;
use drdiff_evaluation::Judge;
use drdiff_evaluation::judge::NetworkJudge;
use drdiff_evaluation::texts::{Reading, Text, TextSet, context_gain};

const TEXT: &str = "The cat sat on the mat and looked out of the window. It was raining, and the street was empty.";
const SHUFFLED: &str =
    "mat window the out sat. on street and It raining cat The the looked of was the, and was empty the.";

#[test]
fn plain_text_is_likelier_than_its_words_in_disorder() {
    // Without weights there is nothing to test.
    let Some(path) = std::env::var_os("DRDIFF_JUDGE") else {
        return;
    };
    let mut judge = NetworkJudge::open(Path::new(&path), &Device::Cpu).unwrap();
    let mut perplexity = |prompt: &str, text: &str| {
        let read = judge.read(prompt, text).unwrap();
        (read.nats / read.tokens as f64).exp()
    };
    let (plain, shuffled) = (perplexity("", TEXT), perplexity("", SHUFFLED));
    assert!(plain < 40.0 && shuffled > 5.0 * plain, "{plain} and {shuffled}");
    assert!(
        perplexity(TEXT, TEXT) < 0.5 * plain,
        "a text that was just read is no surprise"
    );

    // Human text as a corpus: about 24 for tales under SmolLM2-135M-Instruct.
    let Some(corpus) = std::env::var_os("DRDIFF_REFERENCE") else {
        return;
    };
    let mut sum = (0.0, 0.0);
    for document in documents(Path::new(&corpus)).unwrap().take(10) {
        let text: String = document.unwrap().text.chars().take(2000).collect();
        let read = judge.read("", &text).unwrap();
        sum = (sum.0 + read.nats, sum.1 + read.tokens as f64);
    }
    let perplexity = f64::exp(sum.0 / sum.1);
    assert!((10.0..50.0).contains(&perplexity), "{perplexity}");

    // Its tales gain 0.43 ± 0.04 nats a token at halves of 160 tokens.
    let texts = documents(Path::new(&corpus)).unwrap().take(52).map(|document| Text {
        prompt: Some(String::new()),
        text: document.unwrap().text.chars().take(2000).collect(),
        stop_reason: None,
    });
    let set = TextSet {
        texts: texts.collect(),
        ..TextSet::default()
    };
    let gain = context_gain(&set, &mut judge, &AtomicBool::new(false), &mut |_, _| ()).unwrap();
    let Reading::Read(Some(gain)) = gain else {
        panic!("{gain:?}")
    };
    assert_eq!(gain.half, 160.0);
    assert!((0.3..0.55).contains(&gain.nats), "{gain:?}");
}
