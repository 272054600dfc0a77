//! Exact softmax attention over the tiles that a plan lists, forward and backward.
//!
//! Online softmax over tiles with the log-sum-exp kept for the backward pass: Dao et al., "FlashAttention", 2022,
//! and Dao, "FlashAttention-2", 2023. No buffer grows with queries times keys.

mod backward;
mod forward;
mod row;
mod shape;

use crate::{Error, Result, TilePlan};
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor, bail};
pub(crate) use row::attend;
use shape::Heads;
use std::sync::{Arc, OnceLock};

const NAME: &str = "tile_attention";

/// What [`tile_attention`] gives.
#[derive(Debug, Clone)]
pub struct Attention {
    /// `[B, T, H, D]`; zeros for queries that see no key.
    pub out: Tensor,
    /// The log-sum-exp of each query's scores, `[B, H, T]` f32, without a gradient; negative infinity without keys.
    pub lse: Tensor,
}

/// `softmax(scale q k^T) v` over the pairs that `plan` allows: `q: [B, T, H, D]`, `k` and `v: [B, S, G, D]`.
///
/// A plan of [seats](TilePlan::seated) takes `k` and `v: [1, S, G, D]`, and no gradient.
///
/// Query head h reads key head `h / (H / G)`. The tensors may be strided views with a contiguous last dimension.
/// Gradients flow through `out` only.
///
/// # Errors
/// If shapes do not fit each other or the plan.
pub fn tile_attention(q: &Tensor, k: &Tensor, v: &Tensor, plan: &Arc<TilePlan>, scale: f64) -> Result<Attention> {
    let heads = Heads::new(q.dims(), k.dims(), v.dims(), plan).map_err(|problem| Error::shape(NAME, problem))?;
    let lse = Arc::new(OnceLock::new());
    let op = TileAttention {
        plan: plan.clone(),
        scale: scale as f32,
        heads,
        lse: lse.clone(),
    };
    let out = q.apply_op3(k, v, op)?;
    match lse.get() {
        Some(lse) => Ok(Attention { out, lse: lse.clone() }),
        None => Err(Error::shape(NAME, "no form for this device")),
    }
}

struct TileAttention {
    plan: Arc<TilePlan>,
    scale: f32,
    heads: Heads,
    /// Filled by the forward pass: an op of the graph can have one output only.
    lse: Arc<OnceLock<Tensor>>,
}

impl CustomOp3 for TileAttention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        lq: &Layout,
        k: &CpuStorage,
        lk: &Layout,
        v: &CpuStorage,
        lv: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let rows = crate::ops::cpu::Rows::new;
        let inputs = shape::Inputs {
            q: &rows(NAME, q, lq)?,
            k: &rows(NAME, k, lk)?,
            v: &rows(NAME, v, lv)?,
            heads: self.heads,
            plan: &self.plan,
            scale: self.scale,
        };
        let (out, lse) = forward::forward(&inputs);
        let Heads {
            batch, heads, queries, ..
        } = self.heads;
        let lse = Tensor::from_vec(lse, (batch, heads, queries), &candle_core::Device::Cpu)?;
        self.keep(lse)?;
        Ok((CpuStorage::F32(out), lq.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        q: &candle_core::CudaStorage,
        lq: &Layout,
        k: &candle_core::CudaStorage,
        lk: &Layout,
        v: &candle_core::CudaStorage,
        lv: &Layout,
    ) -> candle_core::Result<(candle_core::CudaStorage, Shape)> {
        let (out, lse) = crate::cuda::attention::forward(q, lq, k, lk, v, lv, &self.plan, self.scale)?;
        self.keep(lse)?;
        Ok((out, lq.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        out: &Tensor,
        dout: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(lse) = self.lse.get() else {
            bail!("{NAME}: backward before forward")
        };
        let [q, k, v, out, dout] = [q, k, v, out, dout].map(Tensor::detach);
        let attention = Attention { out, lse: lse.clone() };
        let call = (self.heads, &*self.plan, self.scale);
        let (dq, dk, dv) = gradients([&q, &k, &v], &attention, (&dout, None), call)?;
        Ok((Some(dq), Some(dk), Some(dv)))
    }
}

/// The gradients of q, k and v, from those of the output and, if there is one, of the log-sum-exp.
fn gradients(
    [q, k, v]: [&Tensor; 3],
    attention: &Attention,
    (dout, dlse): (&Tensor, Option<&Tensor>),
    (heads, plan, scale): (Heads, &TilePlan, f32),
) -> candle_core::Result<(Tensor, Tensor, Tensor)> {
    if !plan.seats().is_empty() {
        bail!("{NAME}: keys that sequences share have no gradient");
    }
    #[cfg(feature = "cuda")]
    if q.device().is_cuda() {
        return crate::cuda::attention::backward([q, k, v], attention, dout, dlse, plan, scale);
    }
    let (dq, dk, dv) = backward::backward([q, k, v], attention, (dout, dlse), heads, plan, scale)?;
    let gradient = |data, like: &Tensor| Tensor::from_vec(data, like.shape(), like.device());
    Ok((gradient(dq, q)?, gradient(dk, k)?, gradient(dv, v)?))
}

/// A forward pass outside any graph, kept for its backward pass.
#[derive(Debug, Clone)]
pub struct AttentionPass {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attention: Attention,
    plan: Arc<TilePlan>,
    scale: f64,
}

impl AttentionPass {
    /// See [`tile_attention`].
    ///
    /// # Errors
    /// As there.
    pub fn new(q: &Tensor, k: &Tensor, v: &Tensor, plan: &Arc<TilePlan>, scale: f64) -> Result<Self> {
        let [q, k, v] = [q, k, v].map(Tensor::detach);
        let attention = tile_attention(&q, &k, &v, plan, scale)?;
        let plan = plan.clone();
        Ok(Self {
            q,
            k,
            v,
            attention,
            plan,
            scale,
        })
    }

    /// What the forward pass gave.
    pub fn attention(&self) -> &Attention {
        &self.attention
    }

    /// The gradients of q, k and v from that of the output, `[B, T, H, D]`, and, if something read it, that of the
    /// log-sum-exp, `[B, H, T]` f32, which must be 0 for queries without keys.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn backward(&self, dout: &Tensor, dlse: Option<&Tensor>) -> Result<(Tensor, Tensor, Tensor)> {
        let Self { q, k, v, plan, .. } = self;
        let Attention { out, lse } = &self.attention;
        let heads = Heads::new(q.dims(), k.dims(), v.dims(), plan).map_err(|problem| Error::shape(NAME, problem))?;
        for (gradient, of) in [(Some(dout), out), (dlse, lse)] {
            if let Some(gradient) = gradient.filter(|gradient| gradient.dims() != of.dims()) {
                let problem = format!("a gradient {:?} of {:?}", gradient.dims(), of.dims());
                return Err(Error::shape(NAME, problem));
            }
        }
        let call = (heads, &**plan, self.scale as f32);
        Ok(gradients([q, k, v], &self.attention, (dout, dlse), call)?)
    }
}

impl TileAttention {
    fn keep(&self, lse: Tensor) -> candle_core::Result<()> {
        match self.lse.set(lse) {
            Ok(()) => Ok(()),
            Err(_) => bail!("{NAME}: the same op ran twice"),
        }
    }
}
