//! What a token is drawn from, token by token: for draws that compare two predictions.

use crate::SamplingConfig;
use crate::nucleus::{among, invert};
use crate::sampling::{Peaks, Sums, Weighed};

/// The distribution that [`draw`](crate::draw) draws from: after temperature and `top_p`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Distribution {
    /// Tokens that may be drawn, ascending, with weights.
    tokens: Vec<(usize, f64)>,
    /// The sum of the weights.
    mass: f64,
    /// Of the untempered row: the largest logit and the sum of all `exp(l - max)`.
    row: (f64, f64),
}

impl Distribution {
    /// Of a row of logits, `[V]`. `None` when a logit is NaN or positive infinity, or none is finite.
    pub(crate) fn of(logits: &[f32], config: &SamplingConfig) -> Option<Self> {
        let Weighed {
            peaks: Peaks { top, best, .. },
            sums: Sums { total, .. },
            weights,
            mass,
        } = Weighed::of(logits, config.temperature)?;
        let tokens = match weights {
            Some(weights) => among(weights, mass, config.top_p),
            None => vec![(top, 1.0)],
        };
        let mass = tokens.iter().map(|(_, weight)| weight).sum();
        let row = (best, total);
        Some(Self { tokens, mass, row })
    }

    /// The token at quantile `u`, which is in `[0, 1)`.
    pub(crate) fn draw(&self, u: f64) -> u32 {
        invert(self.tokens.iter().copied(), self.mass, u) as u32
    }

    /// How likely a token is drawn.
    pub(crate) fn probability(&self, token: u32) -> f64 {
        let place = self.tokens.binary_search_by_key(&(token as usize), |(token, _)| *token);
        place.map_or(0.0, |place| self.tokens[place].1 / self.mass)
    }

    /// How likely the untempered row, whose logit of the token this is, finds it.
    pub(crate) fn untempered(&self, logit: f32) -> f64 {
        let (best, total) = self.row;
        (f64::from(logit) - best).exp() / total
    }

    /// The positive part of `self - other`, normalised when it is drawn from: what is left to draw when a draft of `other` was rejected
    /// (Leviathan et al., arXiv 2211.17192, algorithm 1). Where both are equal there is nothing left, no draft is rejected, and this is `self`.
    pub(crate) fn beyond(&self, other: &Self) -> Self {
        let mut tokens = Vec::with_capacity(self.tokens.len());
        let mut others = other.tokens.iter().peekable();
        for (token, weight) in &self.tokens {
            while others.next_if(|(other, _)| other < token).is_some() {}
            let drafted = others
                .next_if(|(other, _)| other == token)
                .map_or(0.0, |(_, weight)| weight / other.mass);
            tokens.push((*token, (weight / self.mass - drafted).max(0.0)));
        }
        let mass: f64 = tokens.iter().map(|(_, weight)| weight).sum();
        match mass > 0.0 {
            true => Self {
                tokens,
                mass,
                row: self.row,
            },
            false => self.clone(),
        }
    }
}
