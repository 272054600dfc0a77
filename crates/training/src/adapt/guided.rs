//! What the frozen original can teach of a pass.

use drdiff_diffusion::Levels;
use drdiff_model::NoisedBatch;

/// Which rows of a pass learn from the teacher, and what it says of which text position there.
#[derive(Debug, Clone)]
pub(crate) struct Guided {
    /// For each open row the position whose row of the teacher predicts the same token; any where the share is 0.
    pub(super) rows: Vec<u32>,
    pub(super) shares: Vec<f32>,
}

impl Guided {
    /// For the open rows of `corrupted`, whose blocks of `block_size` have these `levels`, with this share of the teacher.
    ///
    /// What is visible behind a position would tell more than the teacher knows, so such a position has no teacher. What is
    /// masked before it is drawn from the text, which makes the teacher's distribution the right one on average.
    pub(crate) fn new(corrupted: &NoisedBatch, levels: &Levels, (len, block_size): (usize, usize), share: f64) -> Self {
        let mut last = vec![true; levels.snr.len()];
        for window in (0..levels.snr.len()).step_by(len.max(1)) {
            for block in (window..window + len).step_by(block_size.max(1)) {
                let end = (block + block_size).min(window + len);
                for at in (block..end.saturating_sub(1)).rev() {
                    last[at] = last[at + 1] && levels.snr[at + 1] == 0.0;
                }
            }
        }
        let (mut rows, mut shares) = (Vec::new(), Vec::new());
        for (index, position) in corrupted.positions().enumerate() {
            let clean = index >= corrupted.noisy();
            let (row, knows) = match clean {
                true => (position, true),
                // The first token of a window has nothing before it.
                false => (
                    position.saturating_sub(1),
                    last[position] && !position.is_multiple_of(len),
                ),
            };
            rows.push(row as u32);
            shares.push(if knows { share as f32 } else { 0.0 });
        }
        Self { rows, shares }
    }
}

#[cfg(test)]
mod tests {
    use drdiff_noise::Noise;

    use super::*;

    #[test]
    fn the_teacher_speaks_where_nothing_behind_is_visible() {
        let (open, seen) = (0.0, f32::INFINITY);
        // Two windows of two blocks of three.
        let snr = vec![
            open, seen, open, seen, open, open, //
            open, open, open, seen, seen, open,
        ];
        let weight = snr.iter().map(|snr| f32::from(*snr == 0.0)).collect();
        let levels = Levels { snr, weight };
        let tokens: Vec<u32> = (10..22).collect();
        let corrupted =
            NoisedBatch::new(&tokens, &levels, 2, (30, 4), (Noise::new(1, 0), 0)).with_next_tokens(&tokens, 13, 0.5);
        let guided = Guided::new(&corrupted, &levels, (6, 3), 0.7);
        let noisy = corrupted.noisy();
        // Position 0 of the first window is followed by a visible one; position 0 of the second has nothing before it.
        let wanted = [
            (0, 0.0),
            (1, 0.7),
            (3, 0.7),
            (4, 0.7),
            (5, 0.0),
            (6, 0.7),
            (7, 0.7),
            (10, 0.7),
        ];
        let found: Vec<(u32, f32)> = guided.rows.iter().copied().zip(guided.shares.iter().copied()).collect();
        assert_eq!(found[..noisy], wanted);
        // The clean rows 3 (an end of text) and 5 (the last of its window) predict nothing.
        let clean: Vec<u32> = found[noisy..].iter().map(|(row, _)| *row).collect();
        assert_eq!(clean, [0, 1, 2, 4, 6, 7, 8, 9, 10]);
        assert!(found[noisy..].iter().all(|(_, share)| *share == 0.7));
    }
}
