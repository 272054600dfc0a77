//! How likely a language model finds a text.

use serde::{Deserialize, Serialize};

use crate::Result;

/// What a judge says about one text.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Surprise {
    /// Negative log-likelihood of the text after its prompt, in nats.
    pub nats: f64,
    /// Tokens of it, in the judge's own vocabulary.
    pub tokens: usize,
}

/// A language model that scores texts.
pub trait Judge {
    /// Its name, which stands on every axis.
    fn name(&self) -> &str;

    /// Hash of its weights: its scores hold as long as they are the same.
    fn hash(&self) -> &str;

    /// The most tokens that it scores in one go, with those before them.
    fn context(&self) -> usize;

    /// The ids of a text in its vocabulary.
    ///
    /// # Errors
    /// If its vocabulary cannot spell the text; one sentence.
    fn encode(&self, text: &str) -> Result<Vec<u32>>;

    /// Negative log-likelihood of `ids`, all together, behind `before`, in nats. Both have at most [`Judge::context`] tokens together.
    ///
    /// # Errors
    /// If the network fails; one sentence.
    fn nats(&mut self, before: &[u32], ids: &[u32]) -> Result<f64>;

    /// How likely it finds `text` after `prompt`. The two are encoded apart, so that the same tokens are counted whatever the prompt.
    /// Of a long prompt the end is read, at most half of the context, of a text that does not fit behind it the beginning.
    ///
    /// # Errors
    /// As [`Judge::encode`] and [`Judge::nats`].
    fn read(&mut self, prompt: &str, text: &str) -> Result<Surprise> {
        let (prompt, mut ids) = (self.encode(prompt)?, self.encode(text)?);
        let before = &prompt[prompt.len().saturating_sub(self.context() / 2)..];
        ids.truncate(self.context() - before.len());
        let nats = self.nats(before, &ids)?;
        Ok(Surprise {
            nats,
            tokens: ids.len(),
        })
    }
}

/// Perplexity of texts together, `exp(nats / tokens)`, and the standard error of its logarithm over texts (that of a
/// ratio of sums). `None` without tokens.
#[must_use]
pub fn perplexity(surprises: &[Surprise]) -> Option<(f64, Option<f64>)> {
    let tokens: f64 = surprises.iter().map(|surprise| surprise.tokens as f64).sum();
    if tokens == 0.0 {
        return None;
    }
    let rate = surprises.iter().map(|surprise| surprise.nats).sum::<f64>() / tokens;
    let count = surprises.len() as f64;
    let away = |surprise: &Surprise| (surprise.nats - rate * surprise.tokens as f64).powi(2);
    let error = (surprises.iter().map(away).sum::<f64>() * count / (count - 1.0)).sqrt() / tokens;
    Some((rate.exp(), (surprises.len() > 1).then_some(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perplexity_and_its_error_by_hand() {
        let texts = [Surprise { nats: 20.0, tokens: 10 }, Surprise { nats: 40.0, tokens: 10 }];
        let (perplexity, error) = super::perplexity(&texts).unwrap();
        assert!((perplexity - 3_f64.exp()).abs() < 1e-9);
        // Both are 10 nats away from 3 a token: sqrt(200 * 2 / 1) / 20.
        assert!((error.unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(super::perplexity(&texts[..1]).unwrap().1, None);
        assert!(super::perplexity(&[]).is_none());
    }
}
