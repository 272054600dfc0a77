//! How much a position knows of its token.

use crate::error::{Error, Result};

/// Signal-to-noise ratio of one position, `s = alpha^2 / sigma^2` (Discrete Stochastic Localization, arXiv 2602.16169).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Level {
    /// `s = 0`: no evidence, what masked diffusion calls `[MASK]`.
    Absorbed,
    /// Finite `s > 0`: noisy evidence for a region of the vocabulary.
    Soft(f64),
    /// `s = infinity`: the token is known.
    Anchor,
}

impl Level {
    /// The level with signal-to-noise ratio `snr`.
    ///
    /// # Errors
    /// [`Error::NotALevel`] when `snr` is negative or not a number.
    pub fn from_snr(snr: f64) -> Result<Self> {
        match snr {
            0.0 => Ok(Self::Absorbed),
            f64::INFINITY => Ok(Self::Anchor),
            s if s > 0.0 => Ok(Self::Soft(s)),
            s => Err(Error::NotALevel(s as f32)),
        }
    }

    /// Signal-to-noise ratio in `[0, infinity]`.
    #[must_use]
    pub fn snr(self) -> f64 {
        match self {
            Self::Absorbed => 0.0,
            Self::Soft(s) => s,
            Self::Anchor => f64::INFINITY,
        }
    }

    /// The form in which levels travel in tensors: 0, a finite number, or infinity. A soft level stays soft: it is
    /// never rounded to 0 or infinity.
    #[must_use]
    pub fn encode(self) -> f32 {
        match self {
            Self::Absorbed => 0.0,
            Self::Soft(s) => (s as f32).clamp(f32::MIN_POSITIVE, f32::MAX),
            Self::Anchor => f32::INFINITY,
        }
    }

    /// Inverse of [`Level::encode`].
    ///
    /// # Errors
    /// [`Error::NotALevel`] when `code` is negative or not a number.
    pub fn decode(code: f32) -> Result<Self> {
        Self::from_snr(f64::from(code))
    }

    /// Whether the network has to predict this position.
    #[must_use]
    pub fn is_open(self) -> bool {
        self != Self::Anchor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_round_trips_and_keeps_soft_levels_soft() {
        for level in [Level::Absorbed, Level::Soft(0.37), Level::Anchor] {
            let back = Level::decode(level.encode()).unwrap();
            assert!((back.snr() == level.snr()) || (back.snr() - level.snr()).abs() < 1e-7);
        }
        assert!(matches!(Level::decode(Level::Soft(1e-60).encode()), Ok(Level::Soft(_))));
        assert!(matches!(Level::decode(Level::Soft(1e60).encode()), Ok(Level::Soft(_))));
    }

    #[test]
    fn rejects_what_is_no_ratio() {
        assert!(Level::decode(-1.0).is_err());
        assert!(Level::decode(f32::NAN).is_err());
        assert_eq!(Level::from_snr(-0.0), Ok(Level::Absorbed));
    }
}
