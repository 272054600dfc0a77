//! The network: from what is known about each position to evidence about it.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use drdiff_attention::retrieval::{Chunks, Field};
use drdiff_attention::{Segment, beside};
use drdiff_kernels::{Builder, Init, Params, PlainLayers, Tape, Value, embedding, softmax};
use drdiff_routing::{ComputeReport, Placed, Read, Routing};

use crate::block::{Block, Stream};
use crate::ends::Ends;
use crate::noise_embedding::features;
use crate::plain;
use crate::retrieval::{Memory, asking};
use crate::{Error, Head, Input, LastPrediction, ModelConfig, NetworkSpec, Result, Tables};

/// The residual stream after the last block at the rows that are read, and what the routers on the way decided.
#[derive(Debug, Clone)]
pub struct Hidden {
    /// `[read, width]`.
    stream: Value,
    routings: Vec<(usize, Routing)>,
}

impl Hidden {
    /// The layers in which a routed expert ran, with what their routers decided.
    #[must_use]
    pub fn routings(&self) -> &[(usize, Routing)] {
        &self.routings
    }

    /// [`Hidden::routings`].
    #[must_use]
    pub fn into_routings(self) -> Vec<(usize, Routing)> {
        self.routings
    }

    /// The mean of the routers' auxiliary losses, a scalar; `None` if no routed expert ran.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn aux_loss(&self) -> Result<Option<Value>> {
        let mut losses = self.routings.iter().map(|(_, routing)| &routing.aux_loss);
        let Some(first) = losses.next() else { return Ok(None) };
        let sum = losses.try_fold(first.clone(), |sum, loss| sum.add(loss))?;
        let share = (self.routings.len() as f64).recip();
        Ok(Some(sum.through(|sum| Ok(sum.affine(share, 0.0)?))?))
    }
}

/// What all blocks are told of the rows of a pass.
struct Place {
    /// What entered the first block, `[rows, width]`.
    input: Value,
    /// Of the noise level.
    features: Option<Value>,
    placed: Option<Placed>,
    /// Which of them are wanted in the end.
    read: Read,
    /// Their neighbours, if layers read those by themselves.
    beside: Option<Tensor>,
}

/// What blocks read beside the stream, and what they leave behind.
struct Walk<'r, 's> {
    segments: &'r mut [Segment<'s>],
    report: &'r mut ComputeReport,
    routings: Vec<(usize, Routing)>,
}

impl<'r, 's> Walk<'r, 's> {
    fn new(segments: &'r mut [Segment<'s>], report: &'r mut ComputeReport) -> Self {
        let routings = Vec::new();
        Self {
            segments,
            report,
            routings,
        }
    }

    /// What the last of all blocks made.
    fn end(self, stream: &Stream) -> Result<Hidden> {
        Ok(Hidden {
            stream: stream.sum()?,
            routings: self.routings,
        })
    }
}

/// A pre-norm transformer. How tokens enter and leave it is a switch of its configuration ([`crate::Head`]): as evidence about
/// unit rows, as in the networks that this program trains from nothing, or by plain tables, as in Llama and Qwen.
pub struct Network {
    config: ModelConfig,
    pub(crate) spec: NetworkSpec,
    dtype: DType,
    device: Device,
    ends: Ends,
    blocks: Vec<Block>,
    /// Of what the blocks behind the first read of the input again, `[width]` each; none without such skips.
    skips: Vec<Tensor>,
    memory: Option<Memory>,
    final_gain: Tensor,
    frozen: Option<Tables>,
    /// The same blocks for passes of one row, where there is a shorter way.
    plain: Option<PlainLayers>,
}

impl Network {
    /// Builds or loads a network that computes in `dtype` (f32 on a CPU).
    ///
    /// # Errors
    /// If the configuration is impossible or a tensor is missing or misshapen.
    pub fn new(builder: &Builder, config: &ModelConfig, dtype: DType) -> Result<Self> {
        config.validate()?;
        let width = config.width;
        let blocks = (0..config.layers)
            .map(|layer| Block::new(&builder.scope("blocks").scope(layer), config, layer))
            .collect::<Result<_>>()?;
        let skipped = if config.embedding_skips { 1..config.layers } else { 0..0 };
        let skips = skipped
            .map(|layer| {
                builder
                    .scope("skips")
                    .tensor(&layer.to_string(), width, Init::Const(0.0))
            })
            .collect::<drdiff_kernels::Result<_>>()?;
        Ok(Self {
            config: config.clone(),
            spec: config.into(),
            dtype,
            device: builder.device().clone(),
            ends: Ends::new(builder, config, dtype)?,
            blocks,
            skips,
            memory: Memory::new(&builder.scope("chunk_encoder"), config)?,
            final_gain: builder.tensor("final_norm.gain", width, Init::Const(1.0))?,
            frozen: None,
            plain: None,
        })
    }

    /// The shape of the network.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The device that the parameters live on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Computes once what depends on the parameters alone. For generation; a frozen network does not learn.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn freeze(mut self) -> Result<Self> {
        self.frozen = Some(self.ends.tables(None, true)?);
        Ok(self)
    }

    /// Lets passes of one row take a shorter way through the blocks, which `params` are those of, if there is one.
    pub(crate) fn with_shortcut(mut self, params: &Params) -> Self {
        if self.device.is_cpu() {
            self.plain = plain::layers(&self.config, params);
        }
        self
    }

    /// The dtype that activations have.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Rows whose products with evidence are logits, `[vocab, embed]` f32; unit rows `e(x)` in networks that read evidence.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn head_rows(&self) -> Result<Tensor> {
        match (&self.frozen, self.config.head) {
            (Some(tables), Head::Evidence) => Ok(tables.head().tensor().clone()),
            _ => self.ends.rows(),
        }
    }

    /// Per-token bias `b(x)` of the logits, `[vocab]`.
    pub fn bias(&self) -> &Tensor {
        self.ends.bias()
    }

    /// The tables that passes read, on a `tape` if the pass is to be learned from.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn tables(&self, tape: Option<&Tape>) -> Result<Tables> {
        match &self.frozen {
            Some(tables) => Ok(tables.clone()),
            None => self.ends.tables(tape, false),
        }
    }

    /// Runs all blocks. The rows of `input` are those of `segments`, one after another. With `tables` on a tape the pass
    /// is recorded, and what follows from it can be learned from.
    ///
    /// # Errors
    /// If shapes do not fit, a cache is full, or a routed network does not know the groups of the rows.
    pub fn hidden(
        &self,
        tables: &Tables,
        input: &Input,
        segments: &mut [Segment<'_>],
        report: &mut ComputeReport,
    ) -> Result<Hidden> {
        // Read before the device has work to wait for.
        let asking = match &self.memory {
            Some(_) => asking(&input.index.to_vec1::<u32>()?, self.config.vocab),
            None => Arc::default(),
        };
        let (mut stream, place) = self.enter(tables, input, segments)?;
        if let Some(layers) = &self.plain
            && let Some(stream) = plain::stream(layers, (&self.config, &stream.x), input, segments, report)?
        {
            let routings = Vec::new();
            return Ok(Hidden { stream, routings });
        }
        let layers = self.blocks.len();
        let middle = self.memory.as_ref().map_or(layers, |memory| memory.layer);
        let mut walk = Walk::new(segments, report);
        stream = self.blocks(0..middle, stream, (&place, &[]), &mut walk)?;
        if let Some(memory) = &self.memory {
            stream = stream.summed()?;
            let fields = memory.read(&stream.x, walk.segments, &asking)?;
            stream = self.blocks(middle..layers, stream, (&place, &fields), &mut walk)?;
        }
        walk.end(&stream)
    }

    /// [`Network::hidden`] of rows that retrieve from given chunks, one field a segment, instead of their own.
    ///
    /// # Errors
    /// As [`Network::hidden`].
    pub fn forward_among(
        &self,
        tables: &Tables,
        input: &Input,
        (segments, fields): (&mut [Segment<'_>], &[Field]),
        report: &mut ComputeReport,
    ) -> Result<Hidden> {
        let (stream, place) = self.enter(tables, input, segments)?;
        let mut walk = Walk::new(segments, report);
        let stream = self.blocks(0..self.blocks.len(), stream, (&place, fields), &mut walk)?;
        walk.end(&stream)
    }

    /// What can be retrieved of the chunks that the rows `rows` (`[chunks * 64]` u32) make up; the lower half of the network
    /// alone. `None` if the network does not retrieve.
    ///
    /// # Errors
    /// As [`Network::hidden`].
    pub fn chunks(
        &self,
        tables: &Tables,
        input: &Input,
        segments: &mut [Segment<'_>],
        rows: &Tensor,
    ) -> Result<Option<Chunks>> {
        let Some(memory) = &self.memory else { return Ok(None) };
        let (stream, place) = self.enter(tables, input, segments)?;
        let mut report = ComputeReport::default();
        let mut walk = Walk::new(segments, &mut report);
        let stream = self.blocks(0..memory.layer, stream, (&place, &[]), &mut walk)?;
        Ok(Some(memory.encode(&stream.sum()?, rows)?))
    }

    /// What enters the first block, and what all blocks are told of the rows.
    fn enter(&self, tables: &Tables, input: &Input, segments: &[Segment<'_>]) -> Result<(Stream, Place)> {
        if self.config.form.local.is_some() && !segments.iter().all(|segment| segment.plan.has_local()) {
            return Err(Error::Config(
                "some layers of this network see the last positions alone, so it scores texts and does not write or learn".to_owned(),
            ));
        }
        let features = match &input.mean_signal {
            Some(signal) => Some(Value::entered(tables.tape(), &features(signal, self.dtype)?)),
            None => None,
        };
        let routing = &self.config.routing;
        let placed = match routing.routed_layers(self.config.layers).next() {
            Some(_) => {
                let last = input.last.as_ref().and_then(LastPrediction::entropy);
                input.groups.place(routing, input.index.dim(0)?, last, self.device())?
            }
            None => None,
        };
        let x = self.ends.embed(tables, input)?;
        let read = input.read.clone();
        let beside = match self.config.attention.neighbours {
            0 => None,
            radius => Some(beside(segments, radius, self.device())?),
        };
        let place = Place {
            input: x.clone(),
            features,
            placed,
            read,
            beside,
        };
        Ok((Stream { x, branch: None }, place))
    }

    /// Some of the blocks, one after another. Behind the last of the network only the rows are left that are read.
    fn blocks(
        &self,
        layers: Range<usize>,
        mut stream: Stream,
        (place, fields): (&Place, &[Field]),
        walk: &mut Walk<'_, '_>,
    ) -> Result<Stream> {
        let Place {
            input,
            features,
            placed,
            read,
            beside,
        } = place;
        for layer in layers {
            if let Some(gain) = layer.checked_sub(1).and_then(|layer| self.skips.get(layer)) {
                stream.x = stream.x.add(&input.rms_norm(gain, self.config.norm_eps)?)?;
            }
            let last = layer + 1 == self.config.layers;
            let read = if last { read } else { &Read::All };
            let rows = (&mut *walk.segments, fields, (placed.as_ref(), read));
            let told = (features.as_ref(), beside.as_ref());
            let (next, routing) = self.blocks[layer].forward(&stream, told, rows, layer, walk.report)?;
            stream = next;
            walk.routings.extend(routing.map(|routing| (layer, routing)));
        }
        Ok(stream)
    }

    /// Evidence `g` that the network adds at the rows that are read, `[read, embed]` in the network's dtype.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn evidence(&self, hidden: &Hidden) -> Result<Value> {
        let normed = hidden.stream.rms_norm(&self.final_gain, self.config.norm_eps)?;
        self.ends.evidence(normed)
    }

    /// Evidence `y + g` at the rows that are read, `[read, embed]` in the network's dtype: `y` is that of the soft ones among them.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn posterior(&self, hidden: &Hidden, input: &Input) -> Result<Value> {
        let g = self.evidence(hidden)?;
        let (Some(picks), Some(soft)) = (&input.picks, &input.soft) else {
            return Ok(g);
        };
        let none = Tensor::zeros((1, self.config.embed), DType::F32, &self.device)?;
        let y = embedding(picks, &Tensor::cat(&[&none, &soft.evidence], 0)?)?;
        Ok(g.add(&Value::constant(&y.to_dtype(self.dtype)?))?)
    }

    /// Mean signals of rows, `[rows, 1]`, if the network reads them.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn mean_signal(&self, signal: &[f32]) -> Result<Option<Tensor>> {
        let place = || Tensor::from_slice(signal, (signal.len(), 1), &self.device);
        Ok(self.config.noise_conditioning.then(place).transpose()?)
    }

    /// Logits `[n, vocab]` f32 from evidence `y + g`, `[n, embed]`. For generation; training uses the fused loss.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn logits(&self, evidence: &Tensor) -> Result<Tensor> {
        self.ends.logits(evidence, self.frozen.as_ref())
    }

    /// The data prediction `x_hat = p E`, `[n, embed]` f32, `p` the softmax of `logits`, `[n, vocab]` f32. A constant
    /// of the graph: it is what solvers and self-conditioning read.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn data_prediction(&self, logits: &Tensor) -> Result<Tensor> {
        Ok(softmax(&logits.detach())?.matmul(&self.head_rows()?.detach())?)
    }
}
