//! Where a long text may be cut so that its parts, encoded one by one, give the ids of the whole.

use serde_json::Value;

use super::units::{OWN, SPACES_BEFORE_WORDS};

/// Parts of a text that is cut at words are at least this many bytes long.
const PART: usize = 1 << 15;

/// Which cuts keep the ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// After each run of blank lines: the units of this program's own tokenizers never cross it.
    Paragraphs,
    /// Between a letter and the blank that follows it: no unit of the well-known patterns holds both.
    Words,
    /// Nowhere: nothing is known about the units.
    Nowhere,
}

impl Cut {
    /// What the pre-tokenizer of a `tokenizer.json` allows; `added` are the added tokens that are found in plain text.
    pub(super) fn of<'a>(pre_tokenizer: &Value, mut added: impl Iterator<Item = &'a str>) -> Self {
        let mut steps = Vec::new();
        flatten(pre_tokenizer, &mut steps);
        let regexes = || steps.iter().filter_map(|step| step.pointer("/pattern/Regex")?.as_str());
        if regexes().any(|regex| regex == OWN) {
            return Self::Paragraphs;
        }
        let known = regexes().any(|regex| SPACES_BEFORE_WORDS.contains(&regex))
            || steps
                .iter()
                .any(|step| step["type"] == "ByteLevel" && step["use_regex"] != false);
        if known && !added.any(|text| text.contains(|c: char| c.is_whitespace())) {
            Self::Words
        } else {
            Self::Nowhere
        }
    }

    /// The parts of `text`; joined they give it back.
    pub(super) fn parts(self, text: &str) -> Vec<&str> {
        match self {
            Self::Paragraphs => paragraphs(text).collect(),
            Self::Words => words(text, PART),
            Self::Nowhere if text.is_empty() => Vec::new(),
            Self::Nowhere => vec![text],
        }
    }
}

/// The steps of a pre-tokenizer, sequences unfolded.
pub(super) fn flatten<'a>(step: &'a Value, into: &mut Vec<&'a Value>) {
    let parts = ["pretokenizers", "normalizers"]
        .iter()
        .find_map(|key| step[*key].as_array());
    match parts {
        Some(parts) => parts.iter().for_each(|part| flatten(part, into)),
        None if step.is_null() => {}
        None => into.push(step),
    }
}

/// Splits a text after each run of blank lines; the pieces joined give the text back.
pub fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let blank = rest.find("\n\n").unwrap_or(rest.len());
        let end = rest[blank..].find(|c| c != '\n').map_or(rest.len(), |run| blank + run);
        let (paragraph, tail) = rest.split_at(end);
        rest = tail;
        Some(paragraph)
    })
}

/// Parts of at least `size` bytes that end in a letter and are followed by a blank, and the rest.
fn words(text: &str, size: usize) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut parts, mut start, mut at) = (Vec::new(), 0, size);
    while at < bytes.len() {
        if bytes[at - 1].is_ascii_alphabetic() && matches!(bytes[at], b' ' | b'\n') {
            parts.push(&text[start..at]);
            (start, at) = (at, at + size);
        } else {
            at += 1;
        }
    }
    if start < text.len() {
        parts.push(&text[start..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_before_the_blank() {
        assert_eq!(words("ab cd, ef 12 gh\ni", 2), ["ab", " cd, ef", " 12 gh", "\ni"]);
        assert_eq!(words("", 2), Vec::<&str>::new());
        assert_eq!(words("äö ü ä", 1), ["äö ü ä"]);
        assert_eq!(words("a", 1), ["a"]);
    }

    #[test]
    fn the_pattern_decides() {
        let split = |regex: &str| {
            serde_json::json!({ "type": "Sequence", "pretokenizers": [
                { "type": "Split", "pattern": { "Regex": regex } }, { "type": "ByteLevel", "use_regex": false }
            ]})
        };
        let none = || std::iter::empty::<&str>();
        assert_eq!(Cut::of(&split(OWN), none()), Cut::Paragraphs);
        assert_eq!(Cut::of(&split(SPACES_BEFORE_WORDS[0]), none()), Cut::Words);
        assert_eq!(
            Cut::of(&split(SPACES_BEFORE_WORDS[0]), ["a b"].into_iter()),
            Cut::Nowhere
        );
        assert_eq!(Cut::of(&split("x"), none()), Cut::Nowhere);
        assert_eq!(Cut::of(&serde_json::json!({ "type": "ByteLevel" }), none()), Cut::Words);
        assert_eq!(Cut::of(&Value::Null, none()), Cut::Nowhere);
    }
}
