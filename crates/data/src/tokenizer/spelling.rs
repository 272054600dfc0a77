//! How the entries of a vocabulary spell the bytes of a text.

use std::collections::{BTreeMap, HashMap};

use super::TokenizerError;

/// The sign that stands for a space in vocabularies of the SentencePiece kind.
pub(super) const SPACE: char = '\u{2581}';

/// The spelling of a vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// One character stands for one byte, as in GPT-2.
    ByteLevel,
    /// Characters stand for themselves, U+2581 for a space, `<0x0A>` for a byte that no other entry has.
    Pieces,
}

impl Spelling {
    /// Bytes of each id. `literal` holds the added tokens that spell themselves, `silent` those without text.
    pub(super) fn bytes(
        self,
        vocab: &HashMap<String, u32>,
        literal: &BTreeMap<String, u32>,
        silent: &BTreeMap<String, u32>,
    ) -> Vec<Box<[u8]>> {
        let byte_of = byte_of();
        let size = vocab.values().map(|&id| id as usize + 1).max().unwrap_or(0);
        let mut bytes = vec![Box::default(); size];
        for (token, &id) in vocab.iter().filter(|(token, _)| !silent.contains_key(*token)) {
            bytes[id as usize] = match self {
                Self::ByteLevel if !literal.contains_key(token) => {
                    let spelled: Option<Box<[u8]>> = token.chars().map(|c| byte_of.get(&c).copied()).collect();
                    spelled.unwrap_or_else(|| token.as_bytes().into())
                }
                Self::ByteLevel => token.as_bytes().into(),
                Self::Pieces => match byte_piece(token) {
                    Some(byte) => [byte].into(),
                    None => token.replace(SPACE, " ").into_bytes().into(),
                },
            };
        }
        bytes
    }

    /// Bytes that no entry spells alone, so a text that holds them may have no ids. Bytes that UTF-8 never has are left
    /// out.
    ///
    /// # Errors
    /// If the bytes of ordinary text are among them.
    pub(super) fn missing(self, vocab: &HashMap<String, u32>) -> Result<Vec<u8>, TokenizerError> {
        let spelled: BTreeMap<u8, char> = byte_of().into_iter().map(|(c, byte)| (byte, c)).collect();
        let entry = |byte: u8| match self {
            Self::ByteLevel => spelled[&byte].to_string(),
            Self::Pieces => format!("<0x{byte:02X}>"),
        };
        let used = (0..=u8::MAX).filter(|byte| !matches!(byte, 0xC0 | 0xC1 | 0xF5..));
        let missing: Vec<u8> = used.filter(|&byte| !vocab.contains_key(&entry(byte))).collect();
        let ordinary = |byte: u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0x80..=0xBF | 0xC2..=0xEF);
        match missing.iter().find(|byte| ordinary(**byte)) {
            Some(byte) => Err(TokenizerError::Lossy(format!("it has no entry for the byte {byte}"))),
            None => Ok(missing),
        }
    }
}

/// The byte that `<0x0A>` stands for.
fn byte_piece(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}

/// The printable spelling of bytes that byte-level BPE files use (GPT-2: printable Latin-1 stands for itself, the other
/// bytes are numbered from U+0100 on).
fn byte_of() -> BTreeMap<char, u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=u8::MAX)
        .filter(|&byte| !printable(byte))
        .zip('\u{100}'..)
        .map(|(byte, c)| (c, byte));
    (0..=u8::MAX)
        .filter(|&byte| printable(byte))
        .map(|byte| (char::from(byte), byte))
        .chain(others)
        .collect()
}
