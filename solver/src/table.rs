//! The embedding table, as far as a solver needs it.

use std::sync::Arc;

use crate::error::{Error, Result, require_len};

/// Embeddings of the vocabulary, `[vocabulary, dim]` row-major with unit rows. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    rows: Arc<[f32]>,
    dim: usize,
}

impl Table {
    /// A table of rows of length `dim >= 1`.
    ///
    /// # Errors
    /// [`Error::Shape`] when `rows` is empty or not a whole number of rows.
    pub fn new(rows: impl Into<Arc<[f32]>>, dim: usize) -> Result<Self> {
        let rows = rows.into();
        let whole = (rows.len() / dim.max(1)).max(1) * dim.max(1);
        require_len("embedding table", rows.len(), whole)?;
        Ok(Self { rows, dim: dim.max(1) })
    }

    /// Number of tokens.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.rows.len() / self.dim
    }

    /// Length of a row.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Embedding of a token.
    ///
    /// # Errors
    /// [`Error::UnknownToken`].
    pub fn row(&self, token: u32) -> Result<&[f32]> {
        let start = token as usize * self.dim;
        let unknown = Error::UnknownToken {
            token,
            vocabulary: self.vocabulary(),
        };
        self.rows.get(start..start + self.dim).ok_or(unknown)
    }

    /// Data prediction `sum_v p_v e(v)`, `p = softmax(logits / temperature)`, of one row of logits, `[vocabulary]`,
    /// into `out`, `[dim]`. A temperature of 0 gives the embedding of the largest logit.
    ///
    /// # Errors
    /// [`Error::Shape`] when the lengths do not fit.
    pub fn expectation(&self, logits: &[f32], temperature: f64, out: &mut [f64]) -> Result<()> {
        require_len("logits", logits.len(), self.vocabulary())?;
        require_len("data prediction", out.len(), self.dim)?;
        let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weight = |logit: f32| {
            let x = f64::from(logit) - f64::from(best);
            if temperature > 0.0 {
                (x / temperature).exp()
            } else {
                f64::from(u8::from(x == 0.0))
            }
        };
        out.fill(0.0);
        let mut total = 0.0;
        for (logit, row) in logits.iter().zip(self.rows.chunks_exact(self.dim)) {
            let w = weight(*logit);
            if w > 0.0 {
                total += w;
                out.iter_mut().zip(row).for_each(|(x, e)| *x += w * f64::from(*e));
            }
        }
        out.iter_mut().for_each(|x| *x /= total);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectation_mixes_rows() {
        let table = Table::new(vec![1.0, 0.0, 0.0, 1.0, -1.0, 0.0], 2).unwrap();
        assert_eq!((table.vocabulary(), table.dim()), (3, 2));
        let mut x = [0.0; 2];
        table
            .expectation(&[0.5_f32.ln(), 0.25_f32.ln(), 0.25_f32.ln()], 1.0, &mut x)
            .unwrap();
        assert!((x[0] - 0.25).abs() < 1e-7 && (x[1] - 0.25).abs() < 1e-7);
        table.expectation(&[0.0, 3.0, 1.0], 0.0, &mut x).unwrap();
        assert_eq!(x, [0.0, 1.0]);
        assert!(table.expectation(&[0.0], 1.0, &mut x).is_err());
        assert!(table.row(3).is_err() && table.row(2).is_ok());
        assert!(Table::new(vec![1.0; 5], 2).is_err() && Table::new(vec![], 2).is_err());
    }
}
