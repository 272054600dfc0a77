//! What stands beside a row, in order.

use candle_core::{Device, Tensor};
use drdiff_kernels::{Builder, Init, Linear, Value};

use crate::{Error, Result, Segment};

/// A short convolution of low rank: what every row says of itself in a few numbers, and a map from those of its neighbours to what
/// it takes from them. Which token stands how far to which side is known without attention that was learned first, so what is found
/// far away can be read in order (the purpose of the "Canon layers" of Allen-Zhu, 2025, which are depthwise and look to the left).
///
/// `y_i = up(down(x_{i-r}), .., down(x_{i+r}))` without `x_i` itself; beyond the end of a block its last row is repeated.
pub struct Neighbours {
    down: Linear,
    up: Linear,
    inner: usize,
}

impl Neighbours {
    /// Builds or loads the maps for a stream of `width` numbers and `radius` neighbours to each side; `depth` divides the deviation
    /// of the last map at initialisation.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn new(builder: &Builder, width: usize, radius: usize, depth: f64) -> Result<Self> {
        let inner = inner(width);
        let taken = 2 * radius * inner;
        let std = |size: usize| (size as f64).powf(-0.5);
        Ok(Self {
            down: builder.hidden("down", &[inner], width, Init::Normal(std(width)))?,
            up: builder.hidden("up", &[width], taken, Init::Residual(std(taken) / depth))?,
            inner,
        })
    }

    /// What the rows of `x`, `[rows, width]`, take from the rows `beside` ([`beside`]): `[rows, width]`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn forward(&self, x: &Value, beside: &Tensor) -> Result<Value> {
        let rows = x.tensor().dim(0)?;
        let said = x.linear(&self.down)?.rows(beside)?;
        let taken = beside.elem_count() / rows.max(1) * self.inner;
        Ok(said.reshape((rows, taken))?.linear(&self.up)?)
    }

    /// Floating-point operations for one row, two for each pair of numbers that are multiplied and added.
    #[must_use]
    pub fn flops(width: usize, radius: usize) -> usize {
        match radius {
            0 => 0,
            radius => 2 * width * inner(width) * (1 + 2 * radius),
        }
    }
}

/// Numbers that a row says of itself: an eighth of the width, but enough to tell bytes apart.
fn inner(width: usize) -> usize {
    (width / 8).max(16)
}

/// For each row of a pass the rows of its neighbours, from the leftmost to the rightmost: `[rows * 2 * radius]` u32. They are of the
/// row's own block, whose rows all see each other.
///
/// # Errors
/// If the plans of a segment do not know its blocks, or the memory on `device` cannot be had.
pub fn beside(segments: &[Segment<'_>], radius: usize, device: &Device) -> Result<Tensor> {
    let mut ids = Vec::new();
    let mut first = 0;
    for segment in segments {
        let blocks = segment.plan.blocks();
        if blocks.last().map_or(0, |last| last.end) != segment.len {
            return Err(Error::Blocks);
        }
        for _ in 0..segment.batch {
            for block in blocks {
                for row in block.clone() {
                    let to_left = (1..=radius).rev().map(|away| row.saturating_sub(away).max(block.start));
                    let to_right = (1..=radius).map(|away| (row + away).min(block.end - 1));
                    ids.extend(to_left.chain(to_right).map(|row| (first + row) as u32));
                }
            }
            first += segment.len;
        }
    }
    let count = ids.len();
    Ok(Tensor::from_vec(ids, count, device)?)
}
