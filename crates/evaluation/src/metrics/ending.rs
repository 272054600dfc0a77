//! How long texts are, and why they ended.

use std::collections::BTreeMap;

use serde::Serialize;

use super::share;

/// Lengths of texts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Lengths {
    /// Mean.
    pub mean: f64,
    /// The shortest, the three quartiles and the longest. Between two texts a quartile is interpolated linearly
    /// (type 7 of Hyndman and Fan, The American Statistician 50, 1996).
    pub quartiles: [f64; 5],
}

impl Lengths {
    /// Of texts of so many tokens (or words). `None` if there is no text.
    #[must_use]
    pub fn of(lengths: &[usize]) -> Option<Self> {
        let mut sorted = lengths.to_vec();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        let at = |share: f64| {
            let place = share * last as f64;
            let low = sorted[place.floor() as usize] as f64;
            let high = sorted[place.ceil() as usize] as f64;
            low + (high - low) * place.fract()
        };
        Some(Self {
            mean: sorted.iter().sum::<usize>() as f64 / sorted.len() as f64,
            quartiles: [0.0, 0.25, 0.5, 0.75, 1.0].map(at),
        })
    }
}

/// Shares of the reasons why texts ended.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Endings {
    /// Texts that say why they ended.
    pub told: usize,
    /// Share of each reason among them, by its name.
    pub shares: BTreeMap<String, f64>,
}

impl Endings {
    /// Of texts with their reasons; those without one are not counted. `None` if no text has one.
    #[must_use]
    pub fn of<'a>(reasons: impl Iterator<Item = Option<&'a str>>) -> Option<Self> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        reasons
            .flatten()
            .for_each(|reason| *counts.entry(reason.to_owned()).or_default() += 1);
        let told = counts.values().sum();
        (told > 0).then(|| Self {
            told,
            shares: counts
                .into_iter()
                .filter_map(|(reason, count)| Some((reason, share(count, told)?)))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_by_hand() {
        let lengths = Lengths::of(&[40, 10, 20, 30]).unwrap();
        assert_eq!(lengths.mean, 25.0);
        assert_eq!(lengths.quartiles, [10.0, 17.5, 25.0, 32.5, 40.0]);
        assert_eq!(Lengths::of(&[7]).unwrap().quartiles, [7.0; 5]);
        assert!(Lengths::of(&[]).is_none());
    }

    #[test]
    fn texts_without_a_reason_are_not_counted() {
        let endings = Endings::of([Some("end"), None, Some("length"), Some("end")].into_iter()).unwrap();
        assert_eq!(endings.told, 3);
        assert_eq!(endings.shares["end"], 2.0 / 3.0);
        assert!(Endings::of([None].into_iter()).is_none());
    }
}
