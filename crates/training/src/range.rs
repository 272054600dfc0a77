//! The one check of a configured number: the range in which it means something, and the sentence that refuses others.

use drdiff_data::Sampling;
use drdiff_diffusion::Error as LevelError;
use drdiff_model::Error as ModelError;

use crate::{Error, Result};

/// What a number may be. All of them are finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// A rate, a weight or a small summand.
    NotNegative,
    /// A scale: zero would switch off what it scales.
    Positive,
    /// A part of a whole, the whole as well.
    Share,
    /// A part of a whole but never the whole, as the decay of an average is.
    Part,
    /// A norm that gradients are cut to.
    Clip,
}

impl Range {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::NotNegative => value.is_finite() && value >= 0.0,
            Self::Positive | Self::Clip => value.is_finite() && value > 0.0,
            Self::Share => (0.0..=1.0).contains(&value),
            Self::Part => (0.0..1.0).contains(&value),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotNegative => "a finite number of at least 0",
            Self::Positive => "a finite number above 0",
            Self::Share => "between 0 and 1",
            Self::Part => "at least 0 and below 1",
            Self::Clip => {
                "a finite number above 0, and one that no gradient reaches, such as 1e9, switches clipping off"
            }
        }
    }

    /// Refuses `value` under the name of its key if it lies outside.
    ///
    /// # Errors
    /// A sentence with the key, the value and what would be accepted.
    pub(crate) fn check(self, key: &str, value: f64) -> Result<()> {
        match self.holds(value) {
            true => Ok(()),
            false => Err(Error::Config(format!(
                "`{key}` is {value}; it must be {}",
                self.words()
            ))),
        }
    }

    /// [`Range::check`] of several numbers, the first wrong one by name.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn check_all<'a>(self, numbers: impl IntoIterator<Item = (&'a str, f64)>) -> Result<()> {
        numbers.into_iter().try_for_each(|(key, value)| self.check(key, value))
    }
}

/// Refuses a count of 0 under the name of its key.
///
/// # Errors
/// A sentence with the key.
pub(crate) fn at_least_one(key: &str, count: u64) -> Result<()> {
    match count {
        0 => Err(Error::Config(format!("`{key}` is 0; give it at least 1"))),
        _ => Ok(()),
    }
}

/// Relative weights of which one is drawn: each at least 0, their sum above 0 and finite.
///
/// # Errors
/// A sentence with the key of the weights.
pub(crate) fn weights(key: &str, weights: impl Iterator<Item = f64> + Clone) -> Result<()> {
    let sum: f64 = weights.clone().sum();
    match weights.clone().all(|weight| Range::NotNegative.holds(weight)) && Range::Positive.holds(sum) {
        true => Ok(()),
        false => Err(Error::Config(format!(
            "`{key}` needs weights of 0 or more with a positive sum"
        ))),
    }
}

/// Refuses shares of text that make no sense, without asking the corpus.
///
/// # Errors
/// Names the first of them.
pub(crate) fn of_sampling(sampling: &Sampling) -> Result<()> {
    Range::Share.check("sampling.document_start", sampling.document_start)?;
    for (tier, share) in &sampling.shares {
        Range::NotNegative.check(&format!("sampling.shares.{tier}"), *share)?;
    }
    match sampling.shares.is_empty() {
        true => Ok(()),
        false => weights("sampling.shares", sampling.shares.values().copied()),
    }
}

/// What the draw of levels refuses, under the key of its section.
pub(crate) fn of_levels(section: &str, error: LevelError) -> Error {
    match error {
        LevelError::OutOfRange { name, value, expected } => {
            // The shares of block sizes are sections of their own.
            let name = match section.starts_with("masked_shares") {
                true => name.trim_start_matches("masked_share."),
                false => name,
            };
            Error::Config(format!("`{section}.{name}` is {value}; it must be {expected}"))
        }
        LevelError::Zero(name) => Error::Config(format!("`{section}.{name}` is 0; give it at least 1")),
        other => other.into(),
    }
}

/// What the shape of the network refuses, under the key of its section.
pub(crate) fn of_model(error: ModelError) -> Error {
    match error {
        ModelError::Config(what) => Error::Config(match what.strip_prefix('`') {
            Some(rest) => format!("`model.{rest}"),
            None => what,
        }),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_the_ends_that_they_say() {
        let held = |range: Range| [-1.0, 0.0, 1.0, 2.0, f64::INFINITY, f64::NAN].map(|value| range.holds(value));
        assert_eq!(held(Range::NotNegative), [false, true, true, true, false, false]);
        assert_eq!(held(Range::Positive), [false, false, true, true, false, false]);
        assert_eq!(held(Range::Clip), held(Range::Positive));
        assert_eq!(held(Range::Share), [false, true, true, false, false, false]);
        assert_eq!(held(Range::Part), [false, true, false, false, false, false]);
    }

    #[test]
    fn a_number_is_refused_by_its_key() {
        let error = Range::Part.check("optimizer.ema", 1.5).unwrap_err().to_string();
        assert!(
            error.ends_with("`optimizer.ema` is 1.5; it must be at least 0 and below 1"),
            "{error}"
        );
        let clip = Range::Clip.check("optimizer.clip", 0.0).unwrap_err().to_string();
        assert!(clip.contains("switches clipping off"), "{clip}");
    }

    #[test]
    fn what_other_crates_refuse_has_its_section() {
        let refused = of_model(ModelError::Config("`norm_eps` is -1".to_owned())).to_string();
        assert!(refused.contains("`model.norm_eps` is -1"), "{refused}");
        let share = drdiff_diffusion::MaskedShare::Bell {
            centre: 2.0,
            width: 1.0,
        };
        let centre = |section| of_levels(section, share.validate().unwrap_err()).to_string();
        assert!(centre("levels").contains("`levels.masked_share.centre` is 2"));
        assert!(centre("masked_shares.16").contains("`masked_shares.16.centre` is 2"));
    }

    #[test]
    fn weights_that_no_draw_can_use_are_refused() {
        let refused = |list: &[f64]| weights("block_sizes", list.iter().copied()).is_err();
        assert!(!refused(&[0.0, 2.0]));
        for wrong in [
            &[][..],
            &[0.0],
            &[1.0, -0.5],
            &[f64::NAN, 1.0],
            &[f64::INFINITY],
            &[f64::MAX, f64::MAX],
        ] {
            assert!(refused(wrong), "{wrong:?}");
        }
    }
}
