//! Learning a byte-level BPE from paragraphs.

use std::collections::HashSet;

use drdiff_model::{END_OF_TEXT, OWN_UNITS, Tokenizer};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use super::error::DataError;

/// Trains a vocabulary of `size` ids: the end-of-text token, the 256 bytes, then merges by frequency.
///
/// Equal paragraphs in any order give an equal tokenizer.
///
/// # Errors
/// Text so short that the merges run out is no error: the vocabulary is then smaller. Errors come from the BPE itself.
pub(super) fn train(paragraphs: impl Iterator<Item = Box<str>> + Send, size: usize) -> Result<Tokenizer, DataError> {
    let failed = |e: tokenizers::Error| DataError::Train(e.to_string());
    let byte_level = ByteLevel::new(false, false, false);
    let units = Split::new(
        SplitPattern::Regex(OWN_UNITS.into()),
        SplitDelimiterBehavior::Isolated,
        false,
    )
    .map_err(failed)?;

    let mut bpe = tokenizers::Tokenizer::new(BPE::default());
    bpe.with_pre_tokenizer(Some(Sequence::new(vec![units.into(), byte_level.into()])));
    bpe.with_decoder(Some(byte_level));
    let mut trainer: TrainerWrapper = BpeTrainerBuilder::new()
        .vocab_size(size)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect::<HashSet<char>>())
        .build()
        .into();
    bpe.train(&mut trainer, paragraphs).map_err(failed)?;
    let json = bpe.to_string(false).map_err(failed)?;
    Ok(Tokenizer::from_bytes(json.as_bytes())?)
}
