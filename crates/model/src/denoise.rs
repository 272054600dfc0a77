//! What every network does for whoever writes with it.

use std::rc::Rc;

use candle_core::{Device, Tensor};
use drdiff_attention::{KvCache, PlanKind};
use drdiff_routing::{ComputeReport, RoutingConfig};

use crate::batch::Visible;
use crate::{CachePool, Head, Mask, ModelConfig, Network, Result, Rows, TokenBatch};

/// What must be known of a network to write with it.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkSpec {
    /// Tokens of the vocabulary; the number behind the last one stands for an absorbed position.
    pub vocab: usize,
    /// Numbers of a row of evidence and of a mean prediction.
    pub embed: usize,
    /// Positions of a text that are seen at once.
    pub context: usize,
    /// Layers, of which `routing` says which have routed experts.
    pub layers: usize,
    /// Routed experts and the budgets that they were trained at.
    pub routing: RoutingConfig,
    /// The attention plan.
    pub plan: PlanKind,
    /// What can be asked for.
    pub capabilities: Capabilities,
}

/// What a network can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Predicts absorbed positions.
    pub masks: bool,
    /// Reads soft positions, of which its unit rows are the clean ones.
    pub soft: bool,
    /// Reads its last prediction.
    pub self_condition: bool,
    /// The row of a clean token predicts the token behind it.
    pub next_token: bool,
    /// Clean positions see no later ones.
    pub causal_context: bool,
}

impl From<&ModelConfig> for NetworkSpec {
    fn from(config: &ModelConfig) -> Self {
        let evidence = config.head == Head::Evidence;
        Self {
            vocab: config.vocab,
            embed: config.embed,
            context: config.context,
            layers: config.layers,
            routing: config.routing.clone(),
            plan: config.attention.plan,
            capabilities: Capabilities {
                masks: config.mask != Mask::Absent,
                soft: evidence,
                self_condition: evidence,
                next_token: config.next_token,
                causal_context: config.causal_context,
            },
        }
    }
}

/// Sizes of the text that a cache is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSizes {
    /// Positions that are denoised together.
    pub block_size: usize,
    /// Most rows of a call.
    pub pass: usize,
    /// Most positions of the text.
    pub text: usize,
}

/// What a network says of the rows that it was asked.
#[derive(Debug, Clone)]
pub struct NetworkOutput {
    /// `[asked, vocab]` f32.
    pub logits: Tensor,
    /// Mean predictions `x_hat = p E`, `[asked, embed]` f32, if they were wanted.
    pub data: Option<Tensor>,
}

/// A network that predicts tokens from what is known of the positions of texts.
pub trait DenoisingNetwork {
    /// What must be known of it.
    fn spec(&self) -> &NetworkSpec;

    /// Where it computes.
    fn device(&self) -> &Device;

    /// The clean rows of its soft positions, `[vocab, embed]` f32 of unit length, if it reads such.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn unit_rows(&self) -> Result<Option<Tensor>>;

    /// An empty cache for a text that is written by `plan`, or else by the network's own, with memory of `pool` where the plan
    /// sees a window.
    ///
    /// # Errors
    /// If the plan cannot write in blocks of this size, or the memory cannot be had.
    fn cache(&self, plan: Option<PlanKind>, sizes: CacheSizes, pool: &mut CachePool) -> Result<KvCache>;

    /// One call for all texts of `batch`, whose `caches` these are in the same order; for texts that are read whole there need
    /// be none. The answer is `None` if no row is asked. `report` is told what routed experts ran for.
    ///
    /// # Errors
    /// If shapes do not fit, a cache is full, or an operation fails.
    fn forward(
        &self,
        batch: &TokenBatch,
        caches: &mut [&mut KvCache],
        pool: &mut CachePool,
        report: &mut ComputeReport,
    ) -> Result<Option<NetworkOutput>>;

    /// Floating-point operations for these rows of one text, and the part of them that scores landmarks.
    fn flops(&self, rows: &Rows, visible: &Visible) -> (u64, u64);
}

impl Network {
    /// [`DenoisingNetwork::forward`] up to evidence `y + g`, `[asked, embed]` in the network's dtype.
    pub(crate) fn read(
        &self,
        batch: &TokenBatch,
        caches: &mut [&mut KvCache],
        pool: &mut CachePool,
        report: &mut ComputeReport,
    ) -> Result<Option<Tensor>> {
        let tables = self.tables(None)?;
        let mut segments = pool.segments(batch, caches, self)?;
        let input = batch.place(self, &tables)?;
        let hidden = self.hidden(&tables, &input, &mut segments, report)?;
        if input.read.is_nothing() {
            return Ok(None);
        }
        Ok(Some(self.posterior(&hidden, &input)?.tensor().clone()))
    }
}

impl DenoisingNetwork for Network {
    fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    fn device(&self) -> &Device {
        self.device()
    }

    fn unit_rows(&self) -> Result<Option<Tensor>> {
        let evidence = self.config().head == Head::Evidence;
        evidence.then(|| self.head_rows()).transpose()
    }

    fn cache(&self, plan: Option<PlanKind>, sizes: CacheSizes, pool: &mut CachePool) -> Result<KvCache> {
        let CacheSizes { block_size, pass, text } = sizes;
        let (shape, config, lengths) = (self.cache_shape(), self.config(), (block_size, pass));
        let attention = &config.attention;
        // Who names a plan wants it in all layers, wherever the model has its own.
        Ok(match plan.map_or_else(|| attention.plan_of_all(), Ok)? {
            PlanKind::Dense => {
                // A block, the one before it and what both see lie within the distances known from training.
                let window = config.context.saturating_sub(2 * block_size).max(1);
                pool.cache(self, (window, pass))?
            }
            PlanKind::LengthAdaptive => KvCache::length_adaptive(shape, &attention.length_adaptive, lengths, text)?,
            PlanKind::Retrieval => KvCache::retrieval(shape, &attention.retrieval, lengths, text)?,
            PlanKind::Tree => KvCache::tree(shape, &attention.tree, lengths, text)?,
        })
    }

    fn forward(
        &self,
        batch: &TokenBatch,
        caches: &mut [&mut KvCache],
        pool: &mut CachePool,
        report: &mut ComputeReport,
    ) -> Result<Option<NetworkOutput>> {
        let Some(evidence) = self.read(batch, caches, pool, report)? else {
            return Ok(None);
        };
        let logits = self.logits(&evidence)?;
        let data = batch.wants_data.then(|| self.data_prediction(&logits)).transpose()?;
        Ok(Some(NetworkOutput { logits, data }))
    }

    fn flops(&self, rows: &Rows, visible: &Visible) -> (u64, u64) {
        let config = self.config();
        let scoring = config.scoring_flops(visible.units.as_deref());
        (rows.flops(config, visible), scoring)
    }
}

/// A network that several engines share.
impl<N: DenoisingNetwork + ?Sized> DenoisingNetwork for Rc<N> {
    fn spec(&self) -> &NetworkSpec {
        (**self).spec()
    }

    fn device(&self) -> &Device {
        (**self).device()
    }

    fn unit_rows(&self) -> Result<Option<Tensor>> {
        (**self).unit_rows()
    }

    fn cache(&self, plan: Option<PlanKind>, sizes: CacheSizes, pool: &mut CachePool) -> Result<KvCache> {
        (**self).cache(plan, sizes, pool)
    }

    fn forward(
        &self,
        batch: &TokenBatch,
        caches: &mut [&mut KvCache],
        pool: &mut CachePool,
        report: &mut ComputeReport,
    ) -> Result<Option<NetworkOutput>> {
        (**self).forward(batch, caches, pool, report)
    }

    fn flops(&self, rows: &Rows, visible: &Visible) -> (u64, u64) {
        (**self).flops(rows, visible)
    }
}
