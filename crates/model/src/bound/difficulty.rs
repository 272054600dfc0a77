//! Whether routed experts run where the text is hard: for rare words more than for common ones, and in which steps.

use drdiff_data::Window;
use drdiff_routing::{ComputeReport, RouterKind};
use serde::Serialize;

use super::Bounds;
use crate::{Error, ModelConfig, NoisedBatch, Result};

/// How common the word of a token is in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frequency {
    /// One of the words that make up half of the text.
    Common,
    /// One of the words that make up the last tenth.
    Rare,
    /// Neither, or no word.
    Other,
}

/// Positions without a token, and the routed experts that they had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spent {
    /// Positions.
    pub rows: u64,
    /// Experts of such a position in a routed layer, on average; 0 if there are none.
    pub experts: f64,
}

impl Spent {
    /// Adds `rows` that had `experts` each, all of them together.
    fn add(&mut self, rows: u64, experts: f64) {
        if rows > 0 {
            let sum = self.experts * self.rows as f64 + experts;
            self.rows += rows;
            self.experts = sum / self.rows as f64;
        }
    }
}

/// Mean routed compute of positions without a token, by what makes them hard.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Difficulty {
    /// Block size.
    pub block_size: usize,
    /// Tokens of rare words.
    pub rare: Spent,
    /// Tokens of common words.
    pub common: Spent,
    /// Blocks of which at least three quarters are open, as in their first steps.
    pub first: Spent,
    /// Blocks of which at most a quarter is open, as in their last steps.
    pub last: Spent,
}

impl Difficulty {
    /// Adds a block: for each open position how common its word is, and its experts in a routed layer.
    fn add(&mut self, block_size: usize, open: &[(Frequency, f64)]) {
        for (frequency, experts) in open {
            match frequency {
                Frequency::Common => self.common.add(1, *experts),
                Frequency::Rare => self.rare.add(1, *experts),
                Frequency::Other => {}
            }
        }
        let all = open.iter().map(|(_, experts)| experts).sum();
        if 4 * open.len() >= 3 * block_size {
            self.first.add(open.len() as u64, all);
        } else if 4 * open.len() <= block_size {
            self.last.add(open.len() as u64, all);
        }
    }
}

impl Bounds<'_> {
    /// What routed experts run for when `windows` are written in blocks of `block_size`, in the passes of
    /// [`Bounds::of`]; `words` says of each token of all windows how common its word is.
    ///
    /// # Errors
    /// If the network has no routed experts, the block size does not divide the windows, or an operation fails.
    pub fn difficulty(&self, windows: &[Window], words: &[Frequency], block_size: usize) -> Result<Difficulty> {
        let model = self.network().config();
        if model.routing.kind == RouterKind::Dense {
            return Err(Error::Measure(
                "this model has no routed experts: every token costs the same; choose one that has".to_owned(),
            ));
        }
        let mut difficulty = Difficulty {
            block_size,
            ..Difficulty::default()
        };
        let mut words = words;
        self.each_pass(windows, block_size, |corrupted, layout, masked| {
            let network = self.network();
            let tables = network.tables(None)?;
            let mut report = ComputeReport::by_row();
            let rows = corrupted.place(network, &tables)?;
            rows.run(network, &tables, layout, &mut report)?;
            let experts = experts(model, &report, corrupted);
            let (mine, rest) = words.split_at_checked(masked.len()).unwrap_or((words, &[]));
            words = rest;
            let rows: Vec<((bool, Frequency), f64)> =
                masked.iter().copied().zip(mine.iter().copied()).zip(experts).collect();
            for block in rows.chunks(block_size) {
                let open = block.iter().filter(|((open, _), _)| *open);
                let open: Vec<(Frequency, f64)> = open.map(|((_, word), experts)| (*word, *experts)).collect();
                difficulty.add(block_size, &open);
            }
            Ok(())
        })?;
        Ok(difficulty)
    }
}

/// Experts of each text position in a routed layer: the first `len` of the rows of each sequence are its noisy ones.
fn experts(model: &ModelConfig, report: &ComputeReport, corrupted: &NoisedBatch) -> impl Iterator<Item = f64> {
    let (len, each) = (corrupted.len, corrupted.each);
    let layers = model.routing.routed_layers(model.layers);
    let mut sums: Vec<f64> = Vec::new();
    let mut count = 0;
    for account in layers.filter_map(|layer| report.layers().get(layer)) {
        sums.resize(sums.len().max(account.experts.len()).max(account.rows as usize), 0.0);
        sums.iter_mut()
            .zip(&account.experts)
            .for_each(|(sum, experts)| *sum += f64::from(*experts));
        count += 1;
    }
    let noisy = move |(row, _): &(usize, f64)| row % each < len;
    let mean = move |(_, sum): (usize, f64)| sum / f64::from(count.max(1));
    sums.into_iter().enumerate().filter(noisy).map(mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_those_by_hand() {
        use Frequency::{Common, Other, Rare};
        let mut found = Difficulty::default();
        // All of a block of 4, a half and a quarter of it.
        found.add(4, &[(Common, 1.0), (Rare, 3.0), (Other, 2.0), (Common, 2.0)]);
        found.add(4, &[(Rare, 4.0), (Other, 1.0)]);
        found.add(4, &[(Common, 0.0)]);
        found.add(4, &[]);
        let spent = |rows, experts| Spent { rows, experts };
        assert_eq!((found.rare, found.common), (spent(2, 3.5), spent(3, 1.0)));
        assert_eq!((found.first, found.last), (spent(4, 2.0), spent(1, 0.0)));
    }
}
