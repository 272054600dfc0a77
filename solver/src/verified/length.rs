//! How many tokens are drafted at a time.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer, de};

use crate::error::{Error, Result, require};

/// Most tokens of a draft. The chance that all of a longer one are accepted is next to nothing.
const LONGEST: usize = 16;

/// Most tokens of a draft whose length is chosen here.
const LONGEST_AUTO: usize = 8;

/// The last token of a draft should have at least this chance to be reached and accepted.
const WORTH: f64 = 0.05;

/// Accepted and checked drafts that a text is taken to have had before its first one.
const BEFORE: [f64; 2] = [6.0, 12.0];

/// What a checked draft counts less with each one behind it.
const FORGET: f64 = 0.98;

/// Tokens of a draft.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DraftLength {
    /// By how many drafts of the text have been accepted lately.
    #[default]
    Auto,
    /// So many, from 1 to 16.
    Tokens(usize),
}

/// How many of the drafts that were checked lately have been accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    accepted: f64,
    checked: f64,
}

impl Default for Rate {
    fn default() -> Self {
        let [accepted, checked] = BEFORE;
        Self { accepted, checked }
    }
}

impl Rate {
    /// A draft was checked.
    pub(super) fn add(&mut self, accepted: bool) {
        self.accepted = FORGET * self.accepted + f64::from(u8::from(accepted));
        self.checked = FORGET * self.checked + 1.0;
    }
}

impl DraftLength {
    /// Whether it is chosen here.
    #[must_use]
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }

    /// Checks the number.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn validate(self) -> Result<()> {
        match self {
            Self::Auto => Ok(()),
            Self::Tokens(tokens) => {
                let ok = (1..=LONGEST).contains(&tokens);
                require(ok, "draft length", tokens as f64, "from 1 to 16, or auto")
            }
        }
    }

    /// The most that it can come to.
    #[must_use]
    pub fn most(self) -> usize {
        match self {
            Self::Auto => LONGEST_AUTO,
            Self::Tokens(tokens) => tokens,
        }
    }

    /// The length of the next draft of a text that has had these.
    pub(super) fn next(self, rate: Rate) -> usize {
        match self {
            Self::Auto => {
                let rate = rate.accepted / rate.checked;
                // As many as the rate can be multiplied by itself; a cast of infinity is the largest number.
                ((WORTH.ln() / rate.ln()) as usize).clamp(1, LONGEST_AUTO)
            }
            Self::Tokens(tokens) => tokens,
        }
    }
}

impl fmt::Display for DraftLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Tokens(tokens) => tokens.fmt(f),
        }
    }
}

impl FromStr for DraftLength {
    type Err = Error;

    fn from_str(written: &str) -> Result<Self> {
        match written {
            "auto" => Ok(Self::Auto),
            number => number.parse().map(Self::Tokens).map_err(|_| Error::UnknownName {
                kind: "draft length",
                name: written.to_owned(),
                known: "a whole number from 1 to 16, auto".to_owned(),
            }),
        }
    }
}

impl Serialize for DraftLength {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Auto => to.serialize_str("auto"),
            Self::Tokens(tokens) => tokens.serialize(to),
        }
    }
}

/// Reads a number, or `auto`.
struct Written;

impl Visitor<'_> for Written {
    type Value = DraftLength;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 1 to 16, or \"auto\",")
    }

    fn visit_u64<E: de::Error>(self, tokens: u64) -> std::result::Result<DraftLength, E> {
        Ok(DraftLength::Tokens(usize::try_from(tokens).unwrap_or(usize::MAX)))
    }

    fn visit_f64<E: de::Error>(self, tokens: f64) -> std::result::Result<DraftLength, E> {
        match tokens.fract() == 0.0 && tokens >= 0.0 {
            true => Ok(DraftLength::Tokens(tokens as usize)),
            false => Err(E::invalid_value(de::Unexpected::Float(tokens), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, name: &str) -> std::result::Result<DraftLength, E> {
        name.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for DraftLength {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_any(Written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_numbers_or_by_name() {
        for (written, length) in [("4", DraftLength::Tokens(4)), ("\"auto\"", DraftLength::Auto)] {
            assert_eq!(serde_json::from_str::<DraftLength>(written).unwrap(), length);
            assert_eq!(serde_json::to_string(&length).unwrap(), written);
            assert_eq!(length.to_string().parse(), Ok(length));
        }
        assert_eq!(
            serde_json::from_str::<DraftLength>("4.0").unwrap(),
            DraftLength::Tokens(4)
        );
        assert!(serde_json::from_str::<DraftLength>("2.5").is_err() && "some".parse::<DraftLength>().is_err());
        assert!(DraftLength::Tokens(0).validate().is_err() && DraftLength::Tokens(17).validate().is_err());
    }

    #[test]
    fn drafts_grow_with_the_share_that_is_accepted() {
        let after = |checks: &[bool]| {
            let mut rate = Rate::default();
            checks.iter().for_each(|accepted| rate.add(*accepted));
            DraftLength::Auto.next(rate)
        };
        assert_eq!(after(&[]), 4);
        assert_eq!(after(&[false; 60]), 1);
        assert_eq!(after(&[true; 200]), LONGEST_AUTO);
        assert_eq!(DraftLength::Tokens(3).next(Rate::default()), 3);
    }
}
