//! Which tokens begin, end and mask a text.

use std::collections::BTreeMap;

use super::TokenizerError;

/// Names of tokens that end a document, the likeliest first.
pub(super) const ENDS_OF_TEXT: [&str; 6] = [
    "<|endoftext|>",
    "<|end_of_text|>",
    super::END_OF_TEXT,
    "<eos>",
    "</s>",
    "<｜end▁of▁sentence｜>",
];

/// Names of tokens that end a turn of a conversation.
pub(super) const ENDS_OF_TURN: [&str; 7] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|role_end|>",
    "<end_of_turn>",
    "<turn|>",
    "<|end|>",
];

/// Names of tokens that stand for a position without text.
const MASKS: [&str; 7] = [
    "<|mask|>",
    "<|MASK|>",
    "<|mdm_mask|>",
    "|<MASK>|",
    "<[MASK]>",
    "[MASK]",
    "<mask>",
];

/// What the files say about roles; whatever they leave out is found by name.
#[derive(Debug, Default, Clone)]
pub(super) struct Told {
    /// Tokens at which writing ends.
    pub(super) ends: Vec<u32>,
    /// The token that texts may begin with, if it is known whether there is one.
    pub(super) start: Option<Option<u32>>,
    /// Whether plain prompts begin with it.
    pub(super) adds_start: Option<bool>,
    /// The token of a position without text.
    pub(super) mask: Option<u32>,
    /// Names of roles as chat templates know them (`bos_token`), and the text of their tokens.
    pub(super) names: BTreeMap<String, String>,
}

/// The ids that have a role.
#[derive(Debug, Clone)]
pub(super) struct Roles {
    pub(super) end_of_text: u32,
    pub(super) stops: Vec<u32>,
    pub(super) start: Option<u32>,
    pub(super) adds_start: bool,
    pub(super) mask: Option<u32>,
    pub(super) names: BTreeMap<String, String>,
}

impl Roles {
    /// Decides, with `specials` by name, ids below `size`, and the token that the post-processor puts first.
    pub(super) fn decide(
        told: Told,
        specials: &BTreeMap<String, u32>,
        size: usize,
        first: Option<u32>,
    ) -> Result<Self, TokenizerError> {
        let named = |names: &[&str]| names.iter().find_map(|name| specials.get(*name).copied());
        let ends: Vec<u32> = told.ends.into_iter().filter(|id| (*id as usize) < size).collect();
        let end_of_text = named(&ENDS_OF_TEXT)
            .or_else(|| ends.first().copied())
            .ok_or(TokenizerError::NoEndOfText)?;
        let turns = ENDS_OF_TURN.iter().filter_map(|name| specials.get(*name).copied());
        let mut stops: Vec<u32> = ends.iter().copied().chain(turns).chain([end_of_text]).collect();
        stops.sort_unstable();
        stops.dedup();
        let start = told.start.unwrap_or(first).filter(|id| (*id as usize) < size);
        Ok(Self {
            end_of_text,
            stops,
            start,
            adds_start: start.is_some() && told.adds_start.unwrap_or(start == first),
            mask: told.mask.or_else(|| named(&MASKS)),
            names: told.names,
        })
    }
}
