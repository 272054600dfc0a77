//! Learning a byte-level BPE from paragraphs.

use std::collections::HashSet;

use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use super::error::DataError;
use crate::{END_OF_TEXT, OWN_UNITS, Tokenizer};

/// A unit is counted in pieces of at most so many characters, a few hundred bytes: no word is longer, and the time that the
/// merges take grows with the square of a piece. What is learned are merges alone, so texts are encoded in whole units.
const PIECE: usize = 256;

/// Trains a vocabulary of `size` ids: the end-of-text token, the 256 bytes, then merges by frequency.
///
/// Equal paragraphs in any order give an equal tokenizer.
///
/// # Errors
/// Text so short that the merges run out is no error: the vocabulary is then smaller. Errors come from the BPE itself.
pub(super) fn train(paragraphs: impl Iterator<Item = Box<str>> + Send, size: usize) -> Result<Tokenizer, DataError> {
    let failed = |e: tokenizers::Error| DataError::Train(e.to_string());
    let byte_level = ByteLevel::new(false, false, false);
    let split = |pattern: &str| {
        let pattern = SplitPattern::Regex(pattern.into());
        Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(failed)
    };
    let units = split(OWN_UNITS)?;
    let paragraphs: Vec<Box<str>> = paragraphs.collect();

    let mut bpe = tokenizers::Tokenizer::new(BPE::default());
    let mut counted = vec![units.clone().into()];
    // Cutting costs time, and changes nothing where all units are short.
    if paragraphs.iter().any(|paragraph| may_have_long_unit(paragraph)) {
        counted.push(split(&format!("(?s).{{1,{PIECE}}}"))?.into());
    }
    counted.push(byte_level.into());
    bpe.with_pre_tokenizer(Some(Sequence::new(counted)));
    bpe.with_decoder(Some(byte_level));
    let mut trainer: TrainerWrapper = BpeTrainerBuilder::new()
        .vocab_size(size)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect::<HashSet<char>>())
        .build()
        .into();
    bpe.train(&mut trainer, paragraphs.into_iter()).map_err(failed)?;
    bpe.with_pre_tokenizer(Some(Sequence::new(vec![units.into(), byte_level.into()])));
    let json = bpe.to_string(false).map_err(failed)?;
    Ok(Tokenizer::from_bytes(json.as_bytes())?)
}

/// Whether some unit may be longer than a piece: all of a unit is blank, or nothing behind its first character.
fn may_have_long_unit(paragraph: &str) -> bool {
    let (mut run, mut blank) = (0, false);
    paragraph.chars().any(|c| {
        let same = c.is_whitespace() == blank;
        run = if same { run + 1 } else { 1 };
        blank = c.is_whitespace();
        run >= PIECE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(paragraphs: &[String], size: usize) -> Tokenizer {
        train(paragraphs.iter().map(|text| text.as_str().into()), size).unwrap()
    }

    #[test]
    fn a_long_unit_is_counted_in_pieces_and_encoded_whole() {
        let long = "ab".repeat(20_000);
        let tokenizer = learn(&[format!("{long} and some words, some words"), "-".repeat(30_000)], 300);
        let json = String::from_utf8_lossy(tokenizer.json());
        assert!(!json.contains("1,256"), "texts are encoded in whole units");
        let ids = tokenizer.encode(&long).unwrap();
        assert_eq!(tokenizer.decode(&ids), long);
        let longest = ids.iter().map(|id| tokenizer.bytes_of(*id).len()).max().unwrap();
        assert!((2..=PIECE).contains(&longest), "{longest}");
    }

    #[test]
    fn only_long_runs_are_cut() {
        let words = "four words of text ".repeat(1000);
        assert!(!may_have_long_unit(&words) && !may_have_long_unit(""));
        for unit in ["a", "-", " ", "\n", "語"] {
            assert!(may_have_long_unit(&format!("{words}{}", unit.repeat(PIECE))));
            assert!(!may_have_long_unit(&unit.repeat(PIECE - 1)));
        }
    }
}
