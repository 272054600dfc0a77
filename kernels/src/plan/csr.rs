//! Lists of tiles in compressed rows.

/// A list of tiles for each tile of the other side, in ascending order.
///
/// The row of tile `t` of sequence `s` is `offsets[s * tiles + t]..offsets[s * tiles + t + 1]`. An entry is
/// `tile << 1 | partial`: where `partial` is 0 every pair of the two tiles is allowed and the rule need not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Csr {
    /// One more than there are rows.
    pub offsets: Vec<u32>,
    /// The tiles of all rows, one row after the other.
    pub entries: Vec<u32>,
}

impl Csr {
    pub(super) fn from_rows(rows: impl IntoIterator<Item = Vec<u32>>) -> Self {
        let mut csr = Self {
            offsets: vec![0],
            entries: Vec::new(),
        };
        for row in rows {
            csr.entries.extend(row);
            csr.offsets.push(csr.entries.len() as u32);
        }
        csr
    }

    /// For each of `tiles` tiles of the other side the rows that list it, in ascending order: the transpose, for the lists of
    /// one sequence.
    pub(super) fn transposed(&self, tiles: usize) -> Self {
        let mut offsets = vec![0; tiles + 1];
        for &listed in &self.entries {
            offsets[split(listed).0 + 1] += 1;
        }
        for tile in 0..tiles {
            offsets[tile + 1] += offsets[tile];
        }
        let mut next = offsets.clone();
        let mut entries = vec![0; self.entries.len()];
        for row in 0..self.offsets.len() - 1 {
            for &listed in self.row(row) {
                let (tile, partial) = split(listed);
                entries[next[tile] as usize] = entry(row, partial);
                next[tile] += 1;
            }
        }
        Self { offsets, entries }
    }

    /// The entries of one row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[u32] {
        &self.entries[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }
}

/// An entry of a [`Csr`].
pub(crate) const fn entry(tile: usize, partial: bool) -> u32 {
    (tile as u32) << 1 | partial as u32
}

/// The tile of an entry, and whether the rule must be asked for its pairs.
pub(crate) const fn split(entry: u32) -> (usize, bool) {
    ((entry >> 1) as usize, entry & 1 == 1)
}
