//! The library's door: the texts of the program, streamed, many at a time, with errors in a sentence.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};

use drdiff::{Event, Settings};

fn recall() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/drdiff-recall")
}

#[test]
fn events_make_up_the_text() {
    let model = drdiff::load(recall()).unwrap();
    let settings = Settings::default().tokens(40).block_size(8).seed(3);
    let mut streamed = String::new();
    for event in model.generate("abc=12345678\n", &settings).unwrap() {
        match event.unwrap() {
            Event::BlockCommitted { text, .. } => streamed += &text,
            Event::Finished { output, .. } => assert_eq!(output.text, streamed),
            _ => {}
        }
    }
    assert!(!streamed.is_empty());
    let again = model.generate("abc=12345678\n", &settings).unwrap().finish().unwrap();
    assert_eq!(again.text, streamed);
}

#[test]
fn many_texts_come_in_the_order_of_their_prompts() {
    let model = drdiff::load(recall()).unwrap();
    let settings = Settings::default().tokens(16).block_size(8);
    let prompts = ["one", "two", "three"];
    let one_by_one = model.generate_all(&prompts, 1, &settings).unwrap();
    let together = model.generate_all(&prompts, 3, &settings).unwrap();
    assert_eq!(one_by_one.len(), 3);
    for (a, b) in one_by_one.iter().zip(&together) {
        assert_eq!(a.text, b.text);
    }
    // The first has the noise of a single text.
    let first = model.generate("one", &settings).unwrap().finish().unwrap();
    assert_eq!(first.text, one_by_one[0].text);
}

#[test]
fn what_cannot_be_is_a_sentence() {
    let missing = drdiff::load("no/such/model").err().unwrap().to_string();
    assert!(missing.contains("there is no model at no/such/model"), "{missing}");
    let unknown = Settings::default().set("temprature", 1.0).unwrap_err().to_string();
    assert!(unknown.contains("temperature"), "{unknown}");
    let model = drdiff::load(recall()).unwrap();
    let none = model.generate("a", &Settings::default().tokens(0)).err().unwrap();
    assert!(none.to_string().contains("ask for at least 1"), "{none}");
    let chat = model.chat(&[], &Settings::default()).err().unwrap().to_string();
    assert!(chat.contains("no chat template"), "{chat}");
}
