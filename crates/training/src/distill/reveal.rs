//! Coupled lessons: two states of one text on one path, of which the clearer one shows more of its true tokens.
//!
//! Masked diffusion is the projection of a Gaussian one (Latent Shadows, arXiv 2602.00792). Let `z = alpha 1_k + sigma eps` be a
//! position of token `k` with one coordinate for each token, and let it show its token while that coordinate is the largest. It then
//! is shown from `alpha / sigma > max_{j != k} eps_j - eps_k` on. With noise `eps` that stays along the path, the threshold of a position never
//! changes, so its mask falls once and for good: the path is a row of nested masks that reveal the true text. All thresholds have
//! one law, whatever the token and the position, and are independent; so positions are revealed in random order, which is all
//! that is drawn here. What step of the path has how many masks is left to the draw of levels and to the student's steps.

use drdiff_diffusion::Levels;
use drdiff_noise::{Noise, Purpose};

/// The clearer state of one batch of absorbed positions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reveal {
    /// For every row of the `[noisy | clean]` layout the row whose token or mask the teacher reads there: its own, or the clean
    /// row of a position that is revealed.
    pub(super) picks: Vec<u32>,
    /// Levels of the text positions in that state, for networks that read the mean noise.
    pub(super) levels: Levels,
}

impl Reveal {
    /// Draws what is revealed next in `levels` (`[batch * len]`, absorbing): in each block of `block_size` so many open positions as
    /// `span` says, but one fewer than there are, for an open one is what the lesson is about. Those that are revealed lose their
    /// weight in `levels`: in the clearer state nothing is left to predict of them.
    pub(super) fn draw(
        levels: &mut Levels,
        len: usize,
        (block_size, span): (usize, usize),
        (noise, key): (Noise, u64),
    ) -> Self {
        let mut stream = noise.stream(Purpose::Commit, key, 0);
        let mut clearer = levels.snr.clone();
        let mut picks: Vec<u32> = (0..2 * clearer.len() as u32).collect();
        for start in (0..levels.weight.len()).step_by(len) {
            for block in (start..start + len).step_by(block_size) {
                let end = (block + block_size).min(start + len);
                let mut open: Vec<usize> = (block..end).filter(|at| levels.weight[*at] > 0.0).collect();
                let count = span.min(open.len().saturating_sub(1));
                stream.shuffle(&mut open);
                for at in open.into_iter().take(count) {
                    levels.weight[at] = 0.0;
                    clearer[at] = f32::INFINITY;
                    // A sequence's noisy half comes before its clean half.
                    let noisy = at + start;
                    picks[noisy] = (noisy + len) as u32;
                }
            }
        }
        Self {
            picks,
            levels: Levels {
                snr: clearer,
                weight: levels.weight.clone(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use drdiff_diffusion::LevelMixture;

    use super::*;

    const LEN: usize = 12;
    const NOISE: Noise = Noise::new(6, 0);

    fn masked(levels: &Levels) -> Vec<usize> {
        (0..levels.snr.len()).filter(|at| levels.snr[*at] == 0.0).collect()
    }

    #[test]
    fn masks_nest_and_some_stay_in_every_block() {
        for (block_size, span) in [(12, 4), (4, 2), (5, 1), (4, 9), (1, 1)] {
            let mut levels = LevelMixture::absorbing_only()
                .draw(&NOISE, 2, 3, LEN, block_size)
                .unwrap();
            let before = levels.clone();
            let reveal = Reveal::draw(&mut levels, LEN, (block_size, span), (NOISE, 2));
            assert_eq!(levels.snr, before.snr, "the student sees the first state");
            let (more, fewer) = (masked(&before), masked(&reveal.levels));
            assert!(fewer.iter().all(|at| more.contains(at)), "nested");
            let learned: Vec<usize> = (0..levels.weight.len()).filter(|at| levels.weight[*at] > 0.0).collect();
            assert_eq!(learned, fewer, "what is masked in both is learned");
            let starts = (0..3).flat_map(|sequence| (0..LEN).step_by(block_size).map(move |at| (sequence, at)));
            for (sequence, start) in starts {
                let block = sequence * LEN + start..sequence * LEN + (start + block_size).min(LEN);
                let count = |masked: &[usize]| masked.iter().filter(|at| block.contains(at)).count();
                assert_eq!(count(&fewer), (count(&more).saturating_sub(span)).max(1));
            }
            for (row, read) in reveal.picks.iter().enumerate() {
                let at = row / (2 * LEN) * LEN + row % LEN;
                let shown = row % (2 * LEN) < LEN && more.contains(&at) && !fewer.contains(&at);
                assert_eq!(*read as usize, if shown { row + LEN } else { row });
            }
        }
    }

    #[test]
    fn gaussian_latents_with_shared_noise_reveal_their_tokens_in_such_an_order() {
        const V: usize = 5;
        const PLACES: usize = 4;
        const TRIALS: u64 = 12_000;
        let ratios: Vec<f64> = (0..60).map(|i| -3.0 + 0.15 * f64::from(i)).collect();
        // How often each pair of positions is the first that is shown, by the latents and by the lesson.
        let pair = |shown: &[usize]| shown[0].min(shown[1]) * PLACES + shown[0].max(shown[1]);
        let (mut latents, mut lesson) = ([0_u32; PLACES * PLACES], [0_u32; PLACES * PLACES]);
        for trial in 0..TRIALS {
            let token = |place: usize| (place * place + trial as usize) % (V - place % 2);
            let mut thresholds: Vec<(f64, usize)> = Vec::new();
            for place in 0..PLACES {
                let (mut eps, k) = ([0.0; V], token(place));
                NOISE.normal(Purpose::Corrupt, trial, place as u64, &mut eps);
                let others = (0..V).filter(|j| *j != k).map(|j| eps[j]);
                let threshold = others.fold(f64::NEG_INFINITY, f64::max) - eps[k];
                thresholds.push((threshold, place));
                // `z / sigma` along the path: the true token is the largest coordinate from the threshold on, and stays so.
                for ratio in &ratios {
                    let z = |j: usize| eps[j] + if j == k { *ratio } else { 0.0 };
                    let largest = (0..V).all(|j| j == k || z(j) < z(k));
                    assert_eq!(largest, *ratio > threshold);
                }
            }
            thresholds.sort_by(|a, b| a.0.total_cmp(&b.0));
            latents[pair(&[thresholds[0].1, thresholds[1].1])] += 1;

            let mut levels = Levels {
                snr: vec![0.0; PLACES],
                weight: vec![1.0; PLACES],
            };
            let reveal = Reveal::draw(&mut levels, PLACES, (PLACES, 2), (NOISE, trial));
            let shown: Vec<usize> = (0..PLACES).filter(|at| reveal.levels.snr[*at] > 0.0).collect();
            lesson[pair(&shown)] += 1;
        }
        let expected = (TRIALS / 6) as u32;
        for (a, b) in (0..PLACES).flat_map(|a| (a + 1..PLACES).map(move |b| (a, b))) {
            for counts in [&latents, &lesson] {
                let count = counts[a * PLACES + b];
                assert!(count.abs_diff(expected) < 200, "{a} {b}: {count} of {expected}");
            }
        }
    }

    #[test]
    fn what_is_revealed_depends_on_the_key_alone() {
        let with = |key| {
            let mut levels = LevelMixture::absorbing_only().draw(&NOISE, 2, 3, LEN, 12).unwrap();
            Reveal::draw(&mut levels, LEN, (12, 4), (NOISE, key))
        };
        assert_eq!(with(1), with(1));
        assert_ne!(with(1).picks, with(2).picks);
    }
}
