//! Plans of whole texts under the length-adaptive pattern; those of single passes are the cache's.

use drdiff_kernels::{TILE, TilePlan, Visibility};

use super::LengthAdaptive;
use crate::{Error, Result, noisy_causal, noisy_clean};

impl LengthAdaptive {
    /// The plan of a text of `len` positions that is denoised whole: each sees to both sides.
    ///
    /// # Errors
    /// If the numbers make no plan.
    pub fn whole(&self, len: usize) -> Result<TilePlan> {
        self.validate()?;
        let tiles = len.div_ceil(TILE);
        Ok(TilePlan::from_lists(Visibility::dense(len, len), |tile| {
            self.tiles(tile, len, tiles)
        })?)
    }

    /// The plan of the training layout `[noisy | clean]`: of what [`noisy_clean`] allows, the cells that the pattern
    /// reads.
    ///
    /// # Errors
    /// If the numbers make no plan, the block size is impossible, or a sparse half is not made of whole tiles.
    pub fn noisy_clean(&self, len: usize, block_size: usize) -> Result<TilePlan> {
        self.halves(noisy_clean(len, block_size)?, len, block_size)
    }

    /// [`LengthAdaptive::noisy_clean`] of what [`noisy_causal`] allows.
    ///
    /// # Errors
    /// As there.
    pub fn noisy_causal(&self, len: usize, block_size: usize) -> Result<TilePlan> {
        self.halves(noisy_causal(len, block_size)?, len, block_size)
    }

    fn halves(&self, visibility: Visibility, len: usize, block_size: usize) -> Result<TilePlan> {
        self.validate()?;
        if len <= self.dense {
            return Ok(TilePlan::new(&[visibility])?);
        }
        self.check_halves(len)?;
        let half = len / TILE;
        Ok(TilePlan::from_lists(visibility, |row| {
            let tiles = self.tiles(row % half, block_size, half);
            // Clean queries see no noisy key.
            let noisy = tiles.iter().copied().filter(|_| row < half);
            noisy.chain(tiles.iter().map(|tile| half + tile)).collect()
        })?)
    }

    /// Whether the halves of the training layout of `len` text positions can be cut into the text's tiles.
    ///
    /// # Errors
    /// If they cannot.
    pub(crate) fn check_halves(&self, len: usize) -> Result<()> {
        if len > self.dense && !len.is_multiple_of(TILE) {
            return Err(Error::Halves { len });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use drdiff_kernels::allowed;

    use super::*;
    use crate::Ring;

    /// A pattern whose thresholds lie a sixteenth as far out.
    fn small() -> LengthAdaptive {
        let ring = |from, rate| Ring { from, rate, cells: 2 };
        LengthAdaptive {
            dense: 192,
            cell: 64,
            band: 1,
            globals: 1,
            rings: vec![ring(192, 2), ring(512, 4)],
        }
    }

    /// The pattern, read off its definition for a text of `len` positions: to each side, in the order of preference,
    /// first what is read in any case (the neighbours that a block may reach, rings, globals behind), then the nearest.
    fn reads(plan: &LengthAdaptive, block: usize, len: usize) -> Vec<Vec<bool>> {
        let cells = 0..len.div_ceil(plan.cell) as isize;
        let row = |q| {
            cells
                .clone()
                .map(|k| reads_cell(plan, q, k, block, cells.end))
                .collect()
        };
        cells.clone().map(row).collect()
    }

    fn reads_cell(plan: &LengthAdaptive, q: isize, k: isize, block: usize, cells: isize) -> bool {
        let length = ((q + 1) as usize * plan.cell).max(block);
        if length <= plan.dense || q == k {
            return true;
        }
        // Ahead in a text of several blocks, cells behind its end count as well.
        let whole = block.div_ceil(plan.cell) as isize >= cells;
        let side: Vec<isize> = (0..if whole { cells } else { 2 * cells + 99 })
            .filter(|cell| (cell - q).signum() == (k - q).signum())
            .collect();
        let far = |cell: &isize| cell.abs_diff(q);
        let near = if block <= plan.dense {
            block.div_ceil(plan.cell)
        } else {
            0
        }
        .max(plan.band);
        let ringed = |cell: &isize| {
            let mut start = plan.band;
            plan.rings.iter().any(|ring| {
                let (inside, outside) = (start, start + ring.rate * ring.cells);
                start = outside;
                let within = far(cell) > inside && far(cell) <= outside;
                length > ring.from && within && (far(cell) - inside).is_multiple_of(ring.rate)
            })
        };
        let first = |cell: &isize| *cell < q.min(plan.globals as isize);
        let (mut chosen, mut others): (Vec<isize>, Vec<isize>) = side
            .into_iter()
            .partition(|cell| far(cell) <= near || ringed(cell) || first(cell));
        others.sort_by_key(far);
        others.truncate((plan.dense / plan.cell).saturating_sub(chosen.len()));
        chosen.extend(others);
        chosen.contains(&k)
    }

    /// Whether a plan lets `query` read `key`.
    fn lists(plan: &TilePlan, query: usize, key: usize) -> bool {
        let entry = plan
            .rows()
            .row(query / TILE)
            .iter()
            .find(|entry| (**entry >> 1) as usize == key / TILE);
        entry.is_some_and(|entry| {
            let asked = allowed(plan.query_codes()[query], plan.key_codes()[key]);
            assert!(entry & 1 == 1 || asked, "a full tile with a forbidden pair");
            asked
        })
    }

    #[test]
    fn whole_texts_read_what_the_definition_says() {
        for n in [1, 7, 63, 64, 65, 128, 129, 512, 513, 1000] {
            let (pattern, plan) = (small(), small().whole(n).unwrap());
            let chosen = reads(&pattern, n, n);
            let mut pairs = 0;
            for (q, k) in (0..n).flat_map(|q| (0..n).map(move |k| (q, k))) {
                let wanted = chosen[q / pattern.cell][k / pattern.cell];
                assert_eq!(lists(&plan, q, k), wanted, "{n}: {q} {k}");
                pairs += u64::from(wanted);
            }
            assert_eq!(plan.cost().pairs, pairs, "{n}");
        }
    }

    #[test]
    fn training_halves_read_what_the_definition_says() {
        for (n, block) in [
            (7, 3),
            (65, 16),
            (128, 128),
            (640, 16),
            (640, 24),
            (640, 100),
            (640, 128),
            (640, 256),
            (640, 640),
        ] {
            let (pattern, plan) = (small(), small().noisy_clean(n, block).unwrap());
            let chosen = reads(&pattern, block, n);
            let mut pairs = 0;
            for (q, k) in (0..2 * n).flat_map(|q| (0..2 * n).map(move |k| (q, k))) {
                let (i, j) = (q % n, k % n);
                let by_layout = match (q < n, k < n) {
                    (true, true) => i / block == j / block,
                    (true, false) => j / block < i / block,
                    (false, true) => false,
                    (false, false) => j / block <= i / block,
                };
                let wanted = by_layout && chosen[i / pattern.cell][j / pattern.cell];
                assert_eq!(lists(&plan, q, k), wanted, "{n} in {block}: {q} {k}");
                pairs += u64::from(wanted);
            }
            assert_eq!(plan.cost().pairs, pairs, "{n} in {block}");
        }
    }

    #[test]
    fn a_causal_context_loses_later_positions_alone() {
        let (n, block) = (640, 24);
        let [plan, causal] = [small().noisy_clean(n, block), small().noisy_causal(n, block)].map(Result::unwrap);
        let mut fewer = 0;
        for (q, k) in (0..2 * n).flat_map(|q| (0..2 * n).map(move |k| (q, k))) {
            let later = q >= n && k > q;
            assert_eq!(lists(&causal, q, k), lists(&plan, q, k) && !later, "{q} {k}");
            fewer += u64::from(later && lists(&plan, q, k));
        }
        assert!(fewer > 0 && causal.cost().pairs + fewer == plan.cost().pairs);
    }

    #[test]
    fn short_texts_are_dense() {
        let dense = TilePlan::new(&[noisy_clean(1000, 16).unwrap()]).unwrap();
        let plan = LengthAdaptive::default().noisy_clean(1000, 16).unwrap();
        assert_eq!((plan.rows(), plan.cost()), (dense.rows(), dense.cost()));
        // A band as long as the text is dense as well.
        let wide = LengthAdaptive {
            band: 32,
            rings: Vec::new(),
            ..LengthAdaptive::default()
        };
        let dense = TilePlan::new(&[Visibility::dense(3000, 3000)]).unwrap();
        assert_eq!(wide.whole(3000).unwrap().rows(), dense.rows());
    }

    #[test]
    fn sparse_halves_must_be_whole_tiles() {
        let error = LengthAdaptive::default().noisy_clean(1100, 16).unwrap_err();
        assert!(error.to_string().contains("multiple of 64"), "{error}");
    }
}
