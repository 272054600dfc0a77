//! The vocabularies of SmolLM2 and Gemma 3, from GGUF files that `DRDIFF_SMOLLM2` and `DRDIFF_GEMMA3` name; without them
//! the tests pass with a note.
//!
//! `words/real-ids.json` holds texts, their ids in the vocabulary of SmolLM2 from the Python package `tokenizers`, and
//! their ids in that of Gemma 3 from the package `sentencepiece`.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

use candle_core::quantized::gguf_file::Content;
use drdiff_data::{ChatTemplate, Message, Tokenizer};
use drdiff_testkit::named;
use serde_json::Value;

/// The GGUF file that an environment variable names; a note if there is none.
fn named_by(variable: &str) -> Option<Content> {
    let file = std::fs::File::open(named(variable)?).unwrap();
    Some(Content::read(&mut std::io::BufReader::new(file)).unwrap())
}

/// The ids of column `column` of `real-ids.json`.
fn check_real_ids(tokenizer: &Tokenizer, column: usize) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/words/real-ids.json");
    let rows: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for row in rows.as_array().unwrap() {
        let text = row[0].as_str().unwrap();
        let ids: Vec<u32> = serde_json::from_value(row[column].clone()).unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
        assert_eq!(tokenizer.decode(&ids), text);
    }
}

/// SmolLM2's vocabulary against the Python package `tokenizers`, with single digits and GPT-2's pattern as the original
/// has them. The texts hold no character that the vocabulary lacks.
#[test]
fn smollm2_has_the_ids_of_the_original() {
    let Some(content) = named_by("DRDIFF_SMOLLM2") else {
        return;
    };
    let tokenizer = Tokenizer::from_gguf(&content.metadata).unwrap();
    check_real_ids(&tokenizer, 1);
    assert_eq!(tokenizer.vocab_size(), 49_152);
    assert_eq!((tokenizer.end_of_text(), tokenizer.stop_tokens()), (0, &[0, 2][..]));
    assert_eq!((tokenizer.start(), tokenizer.adds_start()), (Some(1), false));
    let told = tokenizer.encode("a\u{4}b").unwrap_err().to_string();
    assert!(told.contains("U+0004"), "{told}");

    let template = ChatTemplate::from_gguf(&content.metadata, &tokenizer).unwrap();
    let messages = [Message::new("user", "Hi <|im_end|>")];
    let ids = template.render(&messages, true).unwrap();
    assert_eq!(ids.iter().filter(|id| **id == 2).count(), 2);
    assert_eq!(ids.iter().filter(|id| **id == 1).count(), 3);
    assert!(
        template
            .render_text(&messages, true)
            .unwrap()
            .ends_with("user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n")
    );
}

/// Gemma 3's vocabulary against `sentencepiece`; the head of the file is enough.
#[test]
fn gemma_has_the_ids_of_the_original() {
    let Some(content) = named_by("DRDIFF_GEMMA3") else {
        return;
    };
    let tokenizer = Tokenizer::from_gguf(&content.metadata).unwrap();
    check_real_ids(&tokenizer, 2);
    assert_eq!(tokenizer.vocab_size(), 262_144);
    assert_eq!(
        (tokenizer.end_of_text(), tokenizer.start(), tokenizer.adds_start()),
        (1, Some(2), true)
    );
}
