use std::collections::VecDeque;

/// The data predictions that a multistep solver looks back on. It belongs to one request, never to the solver.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    entries: VecDeque<Entry>,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    /// Half log-SNR of each position when the prediction was made; NaN where there was none.
    lambda: Vec<f64>,
    /// `[positions * dim]`.
    data: Vec<f64>,
}

impl History {
    /// The most predictions that any solver uses.
    pub(super) const DEPTH: usize = 3;

    /// Remembers data predictions, `[positions * dim]`, made at half log-SNRs `lambda`, `[positions]`. A NaN level
    /// marks a position without a prediction.
    pub fn push(&mut self, lambda: &[f64], data: &[f64]) {
        let mut entry = if self.entries.len() == Self::DEPTH {
            self.entries.pop_back()
        } else {
            None
        }
        .unwrap_or(Entry {
            lambda: Vec::new(),
            data: Vec::new(),
        });
        entry.lambda.clear();
        entry.lambda.extend_from_slice(lambda);
        entry.data.clear();
        entry.data.extend_from_slice(data);
        self.entries.push_front(entry);
    }

    /// Predictions remembered, at most 3.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Levels of the predictions of one position, newest first.
    pub(super) fn levels(&self, position: usize) -> impl Iterator<Item = f64> {
        self.entries.iter().map(move |entry| entry.lambda[position])
    }

    /// Rows of one position, newest first.
    pub(super) fn rows(&self, position: usize, dim: usize) -> impl Iterator<Item = &[f64]> {
        self.entries
            .iter()
            .map(move |entry| &entry.data[position * dim..][..dim])
    }
}
