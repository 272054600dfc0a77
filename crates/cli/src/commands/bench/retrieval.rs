//! Attention of a layer that retrieves: a band, a choice of chunks for each 64 positions, and attention to them.

use std::sync::Arc;

use anyhow::Result;
use candle_core::Tensor;
use drdiff_attention::retrieval::{CHUNK, Chunks, Lists, Queries, Retrieval, Selection, Unit, Units, attend, select};
use drdiff_kernels::{Tape, TilePlan, Value};

use crate::exit::usage;

/// What a call takes in.
pub(super) struct Layer {
    numbers: Retrieval,
    units: Units,
    band: Arc<TilePlan>,
    /// Queries, keys and values, `[batch, n, heads, head_dim]`.
    qkv: [Tensor; 3],
    /// Queries for landmarks, `[batch * n, landmark]`.
    queries: Tensor,
    /// `[batch * n / 64, landmark]`.
    landmarks: Tensor,
}

impl Layer {
    /// A layer over `qkv`, a text that is denoised whole, with landmarks that `draw` gives by shape. `band` is the plan of
    /// [`Retrieval::band`].
    ///
    /// # Errors
    /// If the text is not made of whole chunks.
    pub(super) fn new(
        band: &Arc<TilePlan>,
        qkv: [Tensor; 3],
        draw: impl Fn((usize, usize)) -> Result<Tensor>,
    ) -> Result<Self> {
        let numbers = Retrieval::default();
        let (batch, n, _, _) = qkv[0].dims4()?;
        if !n.is_multiple_of(CHUNK) {
            return Err(usage(format!(
                "retrieval is measured in whole chunks and {n} is no multiple of {CHUNK}; give one"
            )));
        }
        let units = Units::whole(n, numbers.local)?.choosing(numbers.together);
        Ok(Self {
            queries: draw((batch * n, numbers.landmark))?,
            landmarks: draw((batch * units.chunks(), numbers.landmark))?,
            band: band.clone(),
            numbers,
            units,
            qkv,
        })
    }

    /// The choice of chunks alone, which is the part of a call that grows with the square of the text's length.
    ///
    /// # Errors
    /// If an operation fails.
    pub(super) fn choose(&self) -> Result<Selection> {
        let batch = self.qkv[0].dim(0)?;
        let top_k = self.numbers.top_k;
        Ok(select(
            &self.queries,
            &self.landmarks,
            (&self.units, None),
            batch,
            top_k,
        )?)
    }

    /// One call, with its way back if there is a `tape`.
    ///
    /// # Errors
    /// If an operation fails.
    pub(super) fn call(&self, tape: Option<&Tape>) -> Result<()> {
        let [q, k, v] = self.qkv.each_ref().map(|x| Value::entered(tape, x));
        let [queries, landmarks] = [&self.queries, &self.landmarks].map(|x| Value::entered(tape, x));
        let (batch, n, heads, head_dim) = self.qkv[0].dims4()?;
        let scale = (head_dim as f64).powf(-0.5);
        let (near, _) = q.tile_attention(&k, &v, &self.band, scale)?;

        let lists = Lists::new(&self.choose()?, &self.units, batch, q.tensor().device())?;
        let rows = |x: &Value| x.reshape((batch * n, heads, head_dim));
        let chunks = Chunks {
            keys: rows(&k)?,
            values: rows(&v)?,
            landmarks,
        };
        let queries = Queries {
            attention: &q.reshape((batch * n, heads * head_dim))?,
            landmark: &queries,
            null: &Value::constant(&self.landmarks.get(0)?.narrow(0, 0, 1)?),
        };
        let far = attend(queries, &chunks, &lists)?.reshape((batch, n, heads, head_dim))?;
        let out = near.add(&far)?;
        if let Some(tape) = tape {
            tape.backward(&out)?;
        }
        Ok(())
    }

    /// Pairs of a position and one that it reads, in one sequence.
    pub(super) fn pairs(&self) -> u64 {
        let chosen = |unit: &Unit| unit.rows.len() * unit.candidates().count().min(self.numbers.top_k) * CHUNK;
        self.band.cost().pairs + self.units.units().iter().map(chosen).sum::<usize>() as u64
    }

    /// Operations of the choice, in one sequence.
    pub(super) fn scoring(&self) -> u64 {
        self.numbers.scoring(&self.units)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;

    #[test]
    fn a_layer_runs_both_ways_and_counts_what_it_reads() {
        let draw = |shape: (usize, usize)| Ok(Tensor::ones(shape, DType::F32, &Device::Cpu)?);
        let numbers = Retrieval::default();
        let band = Arc::new(numbers.band().whole(512).unwrap());
        let qkv = || {
            Var::zeros((1, 512, 1, 4), DType::F32, &Device::Cpu)
                .unwrap()
                .into_inner()
        };
        let layer = Layer::new(&band, [qkv(), qkv(), qkv()], draw).unwrap();
        layer.call(None).unwrap();
        layer.call(Some(&Tape::new())).unwrap();
        // Of 8 tiles the band reads up to 5, and what it leaves is less than 8 chunks.
        assert_eq!(layer.pairs(), 512 * 512);
        let left = 2 * (5 + 4) + 4 * 3;
        assert_eq!(layer.scoring(), 2 * 128 * 64 * left);
        let chosen = layer.choose().unwrap();
        assert_eq!((chosen.of(0), chosen.of(3)), (&[3, 4, 5, 6, 7][..], &[0, 6, 7][..]));
        let odd = Tensor::zeros((1, 100, 1, 4), DType::F32, &Device::Cpu).unwrap();
        assert!(Layer::new(&band, [odd.clone(), odd.clone(), odd], draw).is_err());
    }
}
