//! The vocabulary head and its cross-entropy in one op: logits exist for one chunk of rows at a time.
//!
//! The gradients are made together with the loss, while a chunk's logits are at hand; the backward pass only scales
//! them. Wijmans et al., "Cut your losses in large-vocabulary language models", 2024, give the case for fusing.

mod cpu;
#[cfg(feature = "cuda")]
mod gpu;

use crate::{Error, Result};
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Shape, Tensor};

const NAME: &str = "linear_cross_entropy";

/// What [`linear_cross_entropy`] gives.
#[derive(Debug, Clone)]
pub struct CrossEntropy {
    /// `sum_i weights_i * nats_i`, an f32 scalar through which gradients flow.
    pub loss: Tensor,
    /// The cross-entropy of each row in nats, `[N]` f32, without a gradient; rows of weight 0 have theirs too.
    pub nats: Tensor,
}

/// What the rows of a cross-entropy shall predict.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lesson<'a> {
    /// A token for each row, `[N]` u32.
    pub(crate) targets: &'a Tensor,
    /// `[N]` f32.
    pub(crate) weights: &'a Tensor,
    /// A distribution for a share of each row's target.
    pub(crate) taught: Option<&'a Taught>,
}

/// Distributions of a teacher, `softmax(h table^T + bias)` for each of N rows, without a gradient: of row `i` they are the
/// share `shares[i]` of the target, its token is the rest (Hinton et al., arXiv 1503.02531, at temperature 1).
#[derive(Debug, Clone)]
pub struct Taught {
    /// Hidden rows `[N, e]`.
    pub h: Tensor,
    /// `[V, e]`, cast to the dtype of `h`.
    pub table: Tensor,
    /// `[V]` f32.
    pub bias: Tensor,
    /// `[N]` f32, in [0, 1].
    pub shares: Tensor,
}

impl Taught {
    fn fits(&self, rows: usize, vocab: usize) -> bool {
        let (h, table) = (self.h.dims(), self.table.dims());
        let alike = h.len() == 2 && table.len() == 2 && h[1] == table[1];
        alike && h[0] == rows && table[0] == vocab && self.bias.dims() == [vocab] && self.shares.dims() == [rows]
    }
}

/// Weighted cross-entropy of `softmax(h table^T + bias)` against `targets`.
///
/// `h: [N, d]`, `table: [V, d]` (any float dtype, cast to that of `h`), `bias: [V]` f32, `targets: [N]` u32,
/// `weights: [N]` f32. Memory is that of one chunk of rows times V.
///
/// # Errors
/// If shapes or dtypes do not fit, or on the CPU if a target is not below V.
pub fn linear_cross_entropy(
    h: &Tensor,
    table: &Tensor,
    bias: &Tensor,
    targets: &Tensor,
    weights: &Tensor,
) -> Result<CrossEntropy> {
    let tracked = [h, table, bias].iter().any(|input| input.track_op());
    let constants = [h, table, bias].map(Tensor::detach);
    let lesson = Lesson {
        targets: &targets.detach(),
        weights: &weights.detach(),
        taught: None,
    };
    let parts = cross_entropy_parts(constants.each_ref(), lesson, tracked)?;
    let loss = match parts.gradients {
        None => parts.loss,
        Some(gradients) => h.apply_op3(
            table,
            bias,
            Precomputed {
                loss: parts.loss,
                gradients,
            },
        )?,
    };
    Ok(CrossEntropy { loss, nats: parts.nats })
}

/// Loss, nats and, if wanted, the gradients of `h`, `table` and `bias`.
pub(crate) struct Parts {
    /// `sum_i weights_i * nats_i`, an f32 scalar.
    pub(crate) loss: Tensor,
    /// The cross-entropy of each row in nats, `[N]` f32.
    pub(crate) nats: Tensor,
    pub(crate) gradients: Option<Gradients>,
}

/// Gradients of the loss.
pub(crate) struct Gradients {
    pub(crate) h: Tensor,
    pub(crate) table: Tensor,
    pub(crate) bias: Tensor,
}

impl Gradients {
    /// Times the gradient of the loss, a scalar, in the dtypes of `h`, `table` and `bias`.
    pub(crate) fn scaled(&self, upstream: &Tensor, dtypes: [DType; 3]) -> Result<Vec<Option<Tensor>>> {
        let parts = [&self.h, &self.table, &self.bias].into_iter().zip(dtypes);
        parts
            .map(|(gradient, dtype)| {
                let factor = upstream.to_dtype(gradient.dtype())?;
                Ok(Some(gradient.broadcast_mul(&factor)?.to_dtype(dtype)?))
            })
            .collect()
    }
}

/// See [`linear_cross_entropy`]: the loss with, if `learned`, its gradients, outside any graph. With a teacher the loss is
/// `sum_i weights_i ((1 - share_i) nats_i + share_i CE(teacher_i, softmax_i))`; `nats` are those of the tokens all the same.
pub(crate) fn cross_entropy_parts([h, table, bias]: [&Tensor; 3], lesson: Lesson<'_>, learned: bool) -> Result<Parts> {
    let Lesson {
        targets,
        weights,
        taught,
    } = lesson;
    let (rows, width) = h.dims2()?;
    let (vocab, table_width) = table.dims2()?;
    let fits = width == table_width && bias.dims() == [vocab] && targets.dims() == [rows] && weights.dims() == [rows];
    if !fits || vocab == 0 {
        return Err(Error::shape(
            NAME,
            format!(
                "h {:?}, table {:?}, bias {:?}, targets {:?}, weights {:?}",
                h.dims(),
                table.dims(),
                bias.dims(),
                targets.dims(),
                weights.dims()
            ),
        ));
    }
    let dtypes = (targets.dtype(), weights.dtype(), bias.dtype());
    if dtypes != (DType::U32, DType::F32, DType::F32) {
        return Err(Error::shape(NAME, format!("targets, weights and bias of {dtypes:?}")));
    }
    if let Some(taught) = taught.filter(|taught| !taught.fits(rows, vocab)) {
        return Err(Error::shape(
            NAME,
            format!("{rows} rows, {vocab} tokens, and {taught:?}"),
        ));
    }
    #[cfg(feature = "cuda")]
    if h.device().is_cuda() {
        return gpu::compute([h, table, bias], lesson, learned);
    }
    cpu::compute([h, table, bias], lesson, learned)
}

/// A node whose value and gradients are known before it enters the graph.
struct Precomputed {
    loss: Tensor,
    gradients: Gradients,
}

impl CustomOp3 for Precomputed {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![self.loss.to_scalar()?]), Shape::from(())))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        _: &candle_core::CudaStorage,
        _: &Layout,
        _: &candle_core::CudaStorage,
        _: &Layout,
        _: &candle_core::CudaStorage,
        _: &Layout,
    ) -> candle_core::Result<(candle_core::CudaStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        use candle_core::{Storage, bail};
        let (loss, layout) = self.loss.storage_and_layout();
        match &*loss {
            Storage::Cuda(loss) => Ok((loss.try_clone(layout)?, Shape::from(()))),
            _ => bail!("{NAME}: the loss is not on the inputs' device"),
        }
    }

    fn bwd(
        &self,
        h: &Tensor,
        table: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        upstream: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dtypes = [h, table, bias].map(Tensor::dtype);
        let parts = self
            .gradients
            .scaled(&upstream.detach(), dtypes)
            .map_err(candle_core::Error::wrap)?;
        let mut wanted = [h, table, bias]
            .into_iter()
            .zip(parts)
            .map(|(x, part)| part.filter(|_| x.track_op()));
        let mut next = || wanted.next().flatten();
        Ok((next(), next(), next()))
    }
}
