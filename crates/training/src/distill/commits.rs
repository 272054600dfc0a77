//! Absorbing lessons: which positions the teacher commits in which of its passes.
//!
//! Self-distillation through time (Deschenaux and Gulcehre, arXiv 2410.21035, algorithm 1): the teacher samples some
//! positions, reads them, samples more. What it knew of a position when that was committed (or in its last pass, if it
//! stays open) is the student's target. Here the order of positions is drawn on the host beforehand, so only tokens depend on the network, and
//! those never leave the device.

use drdiff_diffusion::{Levels, take_spread};
use drdiff_noise::{Noise, Purpose};

use super::TeacherOrder;

/// The teacher's way through one batch of absorbed positions. An open row's *place* is its index among the open rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Commits {
    /// For each of the teacher's passes the places whose prediction is kept: all of them together are every place once.
    pub(super) kept: Vec<Vec<u32>>,
    /// For each pass but the last, a uniform draw for the token of each kept place.
    pub(super) draws: Vec<Vec<f64>>,
    /// What is read after each pass but the last: for every row of the `[noisy | clean]` layout a row of what was read
    /// first, followed by the tokens drawn so far.
    pub(super) picks: Vec<Vec<u32>>,
    /// Logits are divided by it before tokens are drawn.
    pub(super) temperature: f64,
    /// Levels of the text positions after each pass but the last, for networks that read the mean noise.
    pub(super) levels: Vec<Levels>,
    /// For each place its index in `kept`, all passes one after another.
    pub(super) order: Vec<u32>,
}

impl Commits {
    /// Draws the way of `passes` passes through `levels` (`[batch * len]`, absorbing): in each block of `block_size` they
    /// commit `span` positions in all, or as many as are open, in the given order. Passes in which no block commits anything are left out.
    pub(super) fn draw(
        levels: &Levels,
        len: usize,
        (block_size, span): (usize, usize),
        (passes, order, temperature): (usize, TeacherOrder, f64),
        (noise, key): (Noise, u64),
    ) -> Self {
        let mut stream = noise.stream(Purpose::Commit, key, 0);
        let mut kept = vec![Vec::new(); passes];
        // Rows of the layout by place: a sequence's noisy half comes before its clean half.
        let mut rows: Vec<(u32, usize)> = Vec::new();
        for (sequence, weights) in levels.weight.chunks(len).enumerate() {
            for (block, weights) in weights.chunks(block_size).enumerate() {
                let start = block * block_size;
                let mut places = Vec::new();
                for position in (0..weights.len()).filter(|at| weights[*at] > 0.0) {
                    let at = start + position;
                    places.push(rows.len() as u32);
                    rows.push(((2 * sequence * len + at) as u32, sequence * len + at));
                }
                let count = span.min(places.len());
                if order == TeacherOrder::Random {
                    stream.shuffle(&mut places);
                }
                for (pass, kept) in kept[..passes - 1].iter_mut().enumerate() {
                    let share = count * (pass + 1) / passes - count * pass / passes;
                    match order {
                        TeacherOrder::Random => kept.extend(places.drain(..share)),
                        TeacherOrder::Spread => kept.extend(take_spread(&mut places, share, stream.uniform())),
                    }
                }
                kept[passes - 1].extend(places);
            }
        }
        kept.retain(|places| !places.is_empty());
        kept.iter_mut().for_each(|places| places.sort_unstable());
        Self {
            temperature,
            ..Self::new(levels, kept, &rows, (noise, key))
        }
    }

    fn new(levels: &Levels, kept: Vec<Vec<u32>>, rows: &[(u32, usize)], (noise, key): (Noise, u64)) -> Self {
        let width = 2 * levels.snr.len() as u32;
        let (mut now, mut reading) = (levels.clone(), (0..width).collect::<Vec<_>>());
        let mut commits = Self {
            draws: Vec::new(),
            temperature: 1.0,
            picks: Vec::new(),
            levels: Vec::new(),
            order: vec![0; rows.len()],
            kept,
        };
        let mut before = 0;
        let passes = commits.kept.len();
        for (pass, places) in commits.kept.iter().enumerate() {
            for (index, place) in places.iter().enumerate() {
                commits.order[*place as usize] = before + index as u32;
            }
            if pass + 1 < passes {
                let draw = |place: &u32| noise.uniform(Purpose::Sample, key, u64::from(*place));
                commits.draws.push(places.iter().map(draw).collect());
                for (index, place) in places.iter().enumerate() {
                    let (row, position) = rows[*place as usize];
                    reading[row as usize] = width + before + index as u32;
                    now.snr[position] = f32::INFINITY;
                }
                commits.picks.push(reading.clone());
                commits.levels.push(now.clone());
            }
            before += places.len() as u32;
        }
        commits
    }
}

#[cfg(test)]
mod tests {
    use drdiff_diffusion::LevelMixture;

    use super::*;

    const LEN: usize = 12;

    fn levels(batch: usize, block_size: usize) -> Levels {
        let noise = Noise::new(3, 0);
        LevelMixture::absorbing_only()
            .draw(&noise, 7, batch, LEN, block_size)
            .unwrap()
    }

    fn commits(levels: &Levels, block_size: usize, span: usize, passes: usize) -> Commits {
        Commits::draw(
            levels,
            LEN,
            (block_size, span),
            (passes, TeacherOrder::Random, 1.0),
            (Noise::new(5, 0), 1),
        )
    }

    #[test]
    fn every_open_position_is_predicted_once_and_the_span_is_committed() {
        for (block_size, span, passes) in [(12, 6, 2), (4, 2, 2), (12, 7, 3), (6, 6, 1), (5, 4, 4)] {
            let levels = levels(3, block_size);
            let commits = commits(&levels, block_size, span, passes);
            let open = levels.weight.iter().filter(|weight| **weight > 0.0).count();
            let mut all: Vec<u32> = commits.kept.concat();
            let concatenated = all.clone();
            all.sort_unstable();
            assert_eq!(all, (0..open as u32).collect::<Vec<_>>());
            for (place, index) in commits.order.iter().enumerate() {
                assert_eq!(concatenated[*index as usize], place as u32);
            }
            // Before the last pass each block has committed its part of the span.
            let committed = |weights: &[f32]| {
                let open = weights.iter().filter(|weight| **weight > 0.0).count();
                span.min(open) * (passes - 1) / passes
            };
            let blocks = levels.weight.chunks(LEN).flat_map(|row| row.chunks(block_size));
            let wanted: usize = blocks.map(committed).sum();
            assert_eq!(commits.draws.iter().map(Vec::len).sum::<usize>(), wanted);
        }
    }

    #[test]
    fn committed_rows_read_the_drawn_tokens_and_no_other_row_changes() {
        let levels = levels(2, 12);
        let commits = commits(&levels, 12, 6, 2);
        let (picks, width) = (&commits.picks[0], 2 * levels.snr.len() as u32);
        let drawn: Vec<usize> = (0..picks.len()).filter(|row| picks[*row] != *row as u32).collect();
        assert_eq!(drawn.len(), commits.kept[0].len());
        let open: Vec<usize> = (0..levels.weight.len()).filter(|at| levels.weight[*at] > 0.0).collect();
        for (index, place) in commits.kept[0].iter().enumerate() {
            let at = open[*place as usize];
            let row = 2 * (at / LEN) * LEN + at % LEN;
            assert_eq!(picks[row], width + index as u32);
            assert_eq!(commits.levels[0].snr[at], f32::INFINITY);
        }
    }

    #[test]
    fn a_spreading_teacher_commits_positions_far_apart() {
        let levels = Levels {
            snr: vec![0.0; 24],
            weight: vec![1.0; 24],
        };
        let teacher = (3, TeacherOrder::Spread, 1.0);
        let commits = Commits::draw(&levels, LEN, (12, 9), teacher, (Noise::new(5, 0), 1));
        for places in commits.kept[0].chunks(3) {
            assert!(places.windows(2).all(|pair| pair[1] - pair[0] == 4), "{places:?}");
        }
        let mut all: Vec<u32> = commits.kept.concat();
        all.sort_unstable();
        assert_eq!(all, (0..24).collect::<Vec<_>>());
    }

    #[test]
    fn passes_without_commits_are_left_out() {
        let levels = levels(2, 1);
        assert_eq!(
            commits(&levels, 1, 1, 2).kept.len(),
            1,
            "single positions leave nothing to read"
        );
        assert_eq!(commits(&levels, 1, 1, 2).draws.len(), 0);
    }

    #[test]
    fn the_order_depends_on_the_key_alone() {
        let levels = levels(2, 12);
        let with = |key| {
            Commits::draw(
                &levels,
                LEN,
                (12, 6),
                (2, TeacherOrder::Random, 1.0),
                (Noise::new(5, 0), key),
            )
        };
        assert_eq!(with(1), with(1));
        assert_ne!(with(1).kept, with(2).kept);
    }
}
