//! The tokenizer on any text: lossless, blind to special-token text, steady while streaming.

mod common;

use std::sync::LazyLock;

use common::{Stories, VOCABULARY, options, prepared};
use drdiff_data::{END_OF_TEXT, Tokenizer, TokenizerError};
use proptest::prelude::*;

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| prepared(&Stories::write(), &options()).tokenizer().clone());

#[test]
fn special_text_is_plain_text() {
    let tokenizer = &*TOKENIZER;
    let text = "before<|end|>after <|end|>";
    let ids = tokenizer.encode(text).unwrap();
    assert!(!ids.contains(&tokenizer.end_of_text()));
    assert_eq!(tokenizer.decode(&ids), text);
    assert_eq!(tokenizer.special(END_OF_TEXT), Some(tokenizer.end_of_text()));
    assert_eq!(
        tokenizer.decode(&[tokenizer.end_of_text(), ids[0], u32::MAX]),
        tokenizer.decode(&ids[..1])
    );
}

#[test]
fn words_and_paragraph_ends_are_units_and_digits_are_single() {
    let tokenizer = &*TOKENIZER;
    // The small text runs out of pairs that occur twice before the vocabulary is full.
    assert!((300..=VOCABULARY).contains(&tokenizer.vocab_size()));
    let pieces = |text: &str| {
        let ids = tokenizer.encode(text).unwrap();
        ids.iter().map(|id| tokenizer.decode(&[*id])).collect::<Vec<_>>()
    };
    assert_eq!(pieces(" brother.\n\n"), [" brother", ".", "\n\n"]);
    assert_eq!(pieces("1717"), ["1", "7", "1", "7"]);
    assert_eq!(pieces(" couldn't"), [" couldn", "'t"]);
    assert_eq!(tokenizer.encode("").unwrap(), Vec::<u32>::new());
}

#[test]
fn other_tokenizers_are_refused() {
    let json = String::from_utf8(TOKENIZER.json().to_vec()).unwrap();
    let refused = |json: &str| Tokenizer::from_bytes(json.as_bytes()).unwrap_err();
    assert!(matches!(refused("{"), TokenizerError::Format(_)));
    assert!(matches!(
        refused(&json.replace(END_OF_TEXT, "<|stop|>")),
        TokenizerError::NoEndOfText
    ));
    let lower = json.replace("\"normalizer\":null", "\"normalizer\":{\"type\":\"Lowercase\"}");
    assert!(matches!(refused(&lower), TokenizerError::Lossy(_)));
    let prefixed = json.replace("\"add_prefix_space\":false", "\"add_prefix_space\":true");
    assert!(matches!(refused(&prefixed), TokenizerError::Lossy(_)));
}

proptest! {
    #[test]
    fn any_text_comes_back(text in any::<String>()) {
        let ids = TOKENIZER.encode(&text).unwrap();
        prop_assert_eq!(TOKENIZER.decode(&ids), text);
    }

    #[test]
    fn blank_space_comes_back(text in "[ \\t\\r\\n\u{a0}\u{2028}a'1.<|>]{0,40}") {
        let ids = TOKENIZER.encode(&text).unwrap();
        prop_assert_eq!(TOKENIZER.decode(&ids), text);
    }

    #[test]
    fn a_stream_gives_the_same_text(ids in prop::collection::vec(0..VOCABULARY as u32, 0..60), size in 1usize..7) {
        let mut stream = TOKENIZER.decode_stream();
        let mut text: String = ids.chunks(size).map(|part| stream.push(part)).collect();
        text += &stream.finish();
        prop_assert_eq!(text, TOKENIZER.decode(&ids));
    }

    #[test]
    fn a_stream_never_splits_a_character(text in "[aéΩ語🦀\n]{0,20}") {
        let mut stream = TOKENIZER.decode_stream();
        for id in TOKENIZER.encode(&text).unwrap() {
            let whole = !stream.push(&[id]).contains(char::REPLACEMENT_CHARACTER);
            prop_assert!(whole);
        }
        prop_assert!(stream.finish().is_empty());
    }
}
