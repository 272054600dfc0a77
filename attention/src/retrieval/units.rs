//! Which rows choose chunks together, and among which chunks.

use std::ops::Range;

use candle_core::{Device, Tensor};

use super::CHUNK;
use crate::{Error, LengthAdaptive, PassLayout, Result};

/// Rows that choose together: those of one chunk's positions that lie in one block, or a part of them ([`Units::choosing`]).
/// They see each other, so that what one of them holds may decide what another reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Rows of the sequence.
    pub rows: Range<usize>,
    /// The chunks before the local band that may be chosen.
    pub before: Range<usize>,
    /// The chunks behind the local band that may be chosen.
    pub behind: Range<usize>,
}

impl Unit {
    /// All chunks that may be chosen, in ascending order.
    pub fn candidates(&self) -> impl Iterator<Item = usize> + '_ {
        self.before.clone().chain(self.behind.clone())
    }
}

/// The units of a sequence.
///
/// A chunk is visible when all of its positions are: it has been encoded as a whole. A last chunk that is not whole is
/// left to the local band.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Units {
    rows: usize,
    /// Positions of the text before the pass.
    committed: usize,
    /// The rows that go on from there, which chunks are made of.
    clean: Range<usize>,
    units: Vec<Unit>,
}

/// A block's rows on their way into units.
struct Run {
    /// Rows of the sequence.
    rows: Range<usize>,
    /// Position of the first of them in the text.
    position: usize,
    /// Positions of the text that the rows see in the memory.
    seen: usize,
}

impl Units {
    /// The units of a text of `len` positions that is denoised whole: chunks to both sides. `local` is the width of the
    /// band that is read anyway, see [`band`].
    ///
    /// # Errors
    /// If `local` makes no band.
    pub fn whole(len: usize, local: usize) -> Result<Self> {
        let run = Run {
            rows: 0..len,
            position: 0,
            seen: len,
        };
        Self::new((0, 0..len), std::iter::once(run), local, (len, len))
    }

    /// The units of the rows at the positions `window` of a text of `len` positions that is denoised whole: what
    /// [`Units::whole`] gives them, where the window begins at a chunk.
    ///
    /// # Errors
    /// If `local` makes no band.
    pub fn window(len: usize, window: Range<usize>, local: usize) -> Result<Self> {
        let run = Run {
            rows: 0..window.len(),
            position: window.start,
            seen: len,
        };
        Self::new((len, 0..0), std::iter::once(run), local, (len, len))
    }

    /// The units of the training layout `[noisy | clean]`: the memory is the clean half, of which a noisy block sees the
    /// chunks that end before it, and a clean block those that end before its own end.
    ///
    /// # Errors
    /// If `local` makes no band or the block size is impossible.
    pub fn noisy_clean(len: usize, block_size: usize, local: usize) -> Result<Self> {
        if block_size == 0 || block_size > len {
            return Err(Error::BlockSize { block_size, len });
        }
        let runs = [0, len].into_iter().flat_map(|half| {
            (0..len).step_by(block_size).map(move |position| {
                let end = (position + block_size).min(len);
                Run {
                    rows: half + position..half + end,
                    position,
                    seen: if half == 0 { position } else { end },
                }
            })
        });
        Self::new((0, len..2 * len), runs, local, (block_size, len))
    }

    /// The units of a generation pass through a text of up to `text` positions in blocks of `block_size`: every row sees
    /// what its position saw in training, of what has been committed and of the clean rows of the pass. A block that is the
    /// whole text is [`Units::whole`] instead.
    ///
    /// # Errors
    /// If `local` makes no band.
    pub fn pass(layout: PassLayout, (block_size, text): (usize, usize), local: usize) -> Result<Self> {
        let PassLayout {
            committed,
            clean,
            clean_block,
            noisy,
        } = layout;
        let run = |rows: Range<usize>| Run {
            position: committed + rows.start,
            seen: committed + rows.end.min(clean),
            rows,
        };
        let blocks = (0..clean).step_by(clean_block.max(1));
        let runs = blocks
            .map(|start| run(start..(start + clean_block).min(clean)))
            .chain(std::iter::once(run(clean..clean + noisy)));
        Self::new((committed, 0..clean), runs, local, (block_size, text))
    }

    fn new(
        (committed, clean): (usize, Range<usize>),
        runs: impl Iterator<Item = Run>,
        local: usize,
        (block, len): (usize, usize),
    ) -> Result<Self> {
        let band = band(local);
        band.validate()?;
        let mut units = Vec::new();
        let mut rows = 0;
        for run in runs {
            rows = run.rows.end;
            let visible = run.seen / CHUNK;
            let mut row = run.rows.start;
            while row < run.rows.end {
                let at = run.position + row - run.rows.start;
                let end = (row + CHUNK - at % CHUNK).min(run.rows.end);
                let near = near(&band, at / CHUNK, block, len);
                units.push(Unit {
                    rows: row..end,
                    before: 0..near.start.min(visible),
                    behind: near.end.min(visible)..visible,
                });
                row = end;
            }
        }
        Ok(Self {
            rows,
            committed,
            clean,
            units,
        })
    }

    /// The same with units of at most `together` rows. They begin where those of training begin, so rows choose alike there and in
    /// a pass.
    #[must_use]
    pub fn choosing(mut self, together: usize) -> Self {
        // No unit is larger than a chunk.
        if together >= CHUNK {
            return self;
        }
        let whole = std::mem::take(&mut self.units);
        for unit in whole {
            for start in unit.rows.clone().step_by(together.max(1)) {
                let rows = start..(start + together.max(1)).min(unit.rows.end);
                self.units.push(Unit { rows, ..unit.clone() });
            }
        }
        self
    }

    /// Rows of a sequence.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Chunks of a sequence.
    #[must_use]
    pub fn chunks(&self) -> usize {
        (self.committed + self.clean.len()) / CHUNK
    }

    /// Chunks of a sequence that become whole with this pass.
    #[must_use]
    pub fn fresh(&self) -> usize {
        self.chunks() - self.committed / CHUNK
    }

    /// The rows of a sequence that go on with its text, which chunks are made of.
    #[must_use]
    pub fn clean(&self) -> Range<usize> {
        self.clean.clone()
    }

    /// The rows of whole texts, `batch` of them from row `first` of a pass on, that lie in chunks:
    /// `[batch * chunks * 64]` u32.
    ///
    /// # Errors
    /// If the memory on `device` cannot be had.
    pub fn chunk_rows(&self, first: usize, batch: usize, device: &Device) -> Result<Tensor> {
        let chunks = self.clean.start..self.clean.start + self.chunks() * CHUNK;
        let sequence = |sequence: usize| {
            chunks
                .clone()
                .map(move |row| (first + sequence * self.rows + row) as u32)
        };
        let rows: Vec<u32> = (0..batch).flat_map(sequence).collect();
        let count = rows.len();
        Ok(Tensor::from_vec(rows, count, device)?)
    }

    /// The units, which cover the rows in order.
    #[must_use]
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// Rows of the largest unit.
    #[must_use]
    pub fn widest(&self) -> usize {
        self.units.iter().map(|unit| unit.rows.len()).max().unwrap_or(0)
    }
}

/// The plan of the band beside the retrieved chunks: `local` positions are read to each side, in whole chunks.
#[must_use]
pub fn band(local: usize) -> LengthAdaptive {
    LengthAdaptive {
        dense: local,
        cell: CHUNK,
        band: 1,
        globals: 0,
        rings: Vec::new(),
    }
}

/// The chunks that the band reads for the rows of one chunk.
fn near(band: &LengthAdaptive, tile: usize, block: usize, len: usize) -> Range<usize> {
    let tiles = band.tiles(tile, block, len.div_ceil(CHUNK));
    let first = tiles.first().copied().unwrap_or(tile);
    first..tiles.last().map_or(tile, |last| last + 1)
}
