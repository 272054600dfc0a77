//! Keys and values of committed positions.

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// Keys and values of one sequence, layer by layer.
///
/// Clean positions never see later ones, so what is committed here never changes: the cache is exact. A pass writes
/// its own keys behind the committed ones ([`KvCache::extend`]); only [`KvCache::commit`] makes some of them stay.
/// At most the last `window` committed positions are seen, so memory and the cost of a pass stay constant however
/// long the text grows.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<(Tensor, Tensor)>,
    window: usize,
    capacity: usize,
    /// Slots in use; the last [`KvCache::visible`] of them are seen.
    filled: usize,
}

impl KvCache {
    /// Sees up to `window` committed positions and takes passes of up to `pass` positions, in `layers` layers with
    /// `kv_heads` heads of width `head_dim`.
    ///
    /// # Errors
    /// If the memory cannot be had.
    pub fn new(
        layers: usize,
        (window, pass): (usize, usize),
        (kv_heads, head_dim): (usize, usize),
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        // Twice the window: what has left it is cleared away once in a window's time, not in every pass.
        let capacity = 2 * window + pass;
        let zeros = || Tensor::zeros((1, capacity, kv_heads, head_dim), dtype, device);
        let layers = (0..layers).map(|_| Ok((zeros()?, zeros()?))).collect::<Result<_>>()?;
        Ok(Self {
            layers,
            window,
            capacity,
            filled: 0,
        })
    }

    /// Committed positions that the next pass sees.
    pub fn visible(&self) -> usize {
        self.filled.min(self.window)
    }

    /// Writes keys and values `[1, T, G, D]` of the current pass behind the committed ones and returns views
    /// `[1, visible + T, G, D]` of both.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn extend(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let len = k.dim(1)?;
        let needed = self.filled + len;
        if needed > self.capacity {
            return Err(Error::CacheFull {
                capacity: self.capacity,
                needed,
            });
        }
        let (keys, values) = &self.layers[layer];
        write(keys, k, self.filled)?;
        write(values, v, self.filled)?;
        let (first, count) = (self.filled - self.visible(), self.visible() + len);
        Ok((keys.narrow(1, first, count)?, values.narrow(1, first, count)?))
    }

    /// Makes the first `positions` of the last pass permanent, and makes room for the next pass of up to `pass`.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn commit(&mut self, positions: usize, pass: usize) -> Result<()> {
        self.filled += positions;
        if self.filled + pass > self.capacity {
            let (first, kept) = (self.filled - self.visible(), self.visible());
            for (keys, values) in &self.layers {
                for slots in [keys, values] {
                    write(slots, &slots.narrow(1, first, kept)?.force_contiguous()?, 0)?;
                }
            }
            self.filled = kept;
        }
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the cache holds committed blocks, which carry no gradient"
)]
fn write(slots: &Tensor, new: &Tensor, at: usize) -> Result<()> {
    Ok(slots.slice_set(&new.contiguous()?, 1, at)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(xs: &[f32]) -> Tensor {
        Tensor::from_slice(xs, (1, xs.len(), 1, 1), &Device::Cpu).unwrap()
    }

    fn pass(cache: &mut KvCache, xs: &[f32]) -> Vec<f32> {
        let (keys, _) = cache.extend(0, &tensor(xs), &tensor(xs)).unwrap();
        keys.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn committed_positions_stay_and_the_rest_is_overwritten() {
        let mut cache = KvCache::new(1, (4, 3), (1, 1), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(pass(&mut cache, &[1., 2., 3.]), [1., 2., 3.]);
        cache.commit(1, 3).unwrap();
        assert_eq!(pass(&mut cache, &[7., 8.]), [1., 7., 8.]);
        let long = tensor(&[0.; 11]);
        assert!(matches!(
            cache.extend(0, &long, &long),
            Err(Error::CacheFull {
                capacity: 11,
                needed: 12
            })
        ));
    }

    #[test]
    fn only_the_window_is_seen_and_memory_stays_bounded() {
        let mut cache = KvCache::new(1, (3, 2), (1, 1), DType::F32, &Device::Cpu).unwrap();
        for i in 0..50 {
            let seen = pass(&mut cache, &[i as f32, -1.0]);
            let first = (i - 3i32).max(0);
            let wanted: Vec<f32> = (first..=i).map(|x| x as f32).chain([-1.0]).collect();
            assert_eq!(seen, wanted);
            cache.commit(1, 2).unwrap();
        }
    }
}
