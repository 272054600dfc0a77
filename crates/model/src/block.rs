//! One pre-norm block: attention, then the feed-forward half.

use candle_core::Tensor;
use drdiff_attention::retrieval::Field;
use drdiff_attention::{Neighbours, Segment, SelfAttention};
use drdiff_kernels::{Builder, Init, Value};
use drdiff_routing::{ComputeReport, FeedForward, Placed, Read, Routing, Shape as FeedForwardShape};

use crate::noise_embedding::Modulation;
use crate::retrieval::{Retriever, shape};
use crate::{Error, ModelConfig, Result};

/// RMS norm with a gain and, if the network is conditioned on noise, a modulation.
pub(crate) struct Norm {
    gain: Tensor,
    eps: f64,
    modulation: Option<Modulation>,
}

impl Norm {
    pub(crate) fn new(builder: &Builder, config: &ModelConfig) -> Result<Self> {
        let modulation = config
            .noise_conditioning
            .then(|| Modulation::new(builder, config.width))
            .transpose()?;
        Ok(Self {
            gain: builder.tensor("gain", config.width, Init::Const(1.0))?,
            eps: config.norm_eps,
            modulation,
        })
    }

    /// The stream with what was added to it last, and the norm of that. `features` are those of the noise level.
    fn forward(&self, stream: &Stream, features: Option<&Value>) -> Result<(Value, Value)> {
        let Stream { x, branch } = stream;
        // Every half of a layer begins here.
        x.proceed()?;
        let (Some(modulation), Some(features)) = (&self.modulation, features) else {
            return Ok(match branch {
                Some(Branch { delta, gate: None }) => x.residual_norm(delta, &self.gain, self.eps)?,
                _ => {
                    let x = stream.sum()?;
                    (x.clone(), x.rms_norm(&self.gain, self.eps)?)
                }
            });
        };
        let modulation = modulation.of_norm(features)?;
        let (x, added) = match branch {
            Some(Branch {
                delta,
                gate: Some(gate),
            }) => (x.clone(), Some([delta, gate])),
            _ => (stream.sum()?, None),
        };
        Ok(x.modulated_norm(added, &self.gain, &modulation, self.eps)?)
    }

    /// `delta`, which comes from the branch behind this norm, with its gate.
    fn branch(&self, delta: Value, features: Option<&Value>) -> Result<Branch> {
        let gate = match (&self.modulation, features) {
            (Some(modulation), Some(features)) => Some(modulation.of_branch(features)?),
            _ => None,
        };
        Ok(Branch { delta, gate })
    }
}

/// The residual stream, `[rows, width]`, and what the last layer wants to add to it: the sum is left to the next
/// norm, which reads it anyway.
pub(crate) struct Stream {
    pub(crate) x: Value,
    pub(crate) branch: Option<Branch>,
}

/// What a layer adds to the stream, `[rows, width]`, times `1 + gate` if there is a gate.
pub(crate) struct Branch {
    delta: Value,
    gate: Option<Value>,
}

impl Stream {
    /// The same stream with nothing left to add.
    pub(crate) fn summed(&self) -> Result<Self> {
        let x = self.sum()?;
        Ok(Self { x, branch: None })
    }

    pub(crate) fn sum(&self) -> Result<Value> {
        Ok(match &self.branch {
            None => self.x.clone(),
            Some(Branch { delta, gate: None }) => self.x.add(delta)?,
            Some(Branch {
                delta,
                gate: Some(gate),
            }) => self.x.gated_add(delta, gate)?,
        })
    }
}

/// `x + attention(norm(x))`, to which a short convolution of `norm(x)` may be added, then `x + feed_forward(norm(x))`, or `x + feed_forward(norm(x + retrieved))`.
pub(crate) struct Block {
    attention_norm: Norm,
    attention: SelfAttention,
    neighbours: Option<Neighbours>,
    retriever: Option<Retriever>,
    feed_forward_norm: Norm,
    feed_forward: FeedForward,
    /// Of what attention and feed-forward layer add, where that is normed.
    branch_gains: Option<[Tensor; 2]>,
    eps: f64,
}

impl Block {
    /// The block `layer` of the network.
    pub(crate) fn new(builder: &Builder, config: &ModelConfig, layer: usize) -> Result<Self> {
        // Residual branches are scaled down with depth, so that the stream's variance does not grow with it (GPT-2).
        let depth = (2.0 * config.layers as f64).sqrt();
        let attention_std = ((config.heads * config.head_dim) as f64).powf(-0.5) / depth;
        let feed_forward = FeedForwardShape {
            width: config.width,
            hidden: config.hidden,
            activation: config.form.activation,
        };
        let hidden_std = (config.hidden as f64).powf(-0.5) / depth;
        let routing = Some(&config.routing).filter(|routing| routing.routes(layer, config.layers));
        let radius = config.attention.neighbours;
        let neighbours = || Neighbours::new(&builder.scope("neighbours"), config.width, radius, depth);
        let gain = |name| builder.scope(name).tensor("gain", config.width, Init::Const(1.0));
        let branch_gains = || Ok::<_, Error>([gain("attention_branch_norm")?, gain("feed_forward_branch_norm")?]);
        Ok(Self {
            branch_gains: config.form.branch_norms.then(branch_gains).transpose()?,
            eps: config.norm_eps,
            attention_norm: Norm::new(&builder.scope("attention_norm"), config)?,
            attention: SelfAttention::new(&builder.scope("attention"), shape(config), attention_std)?,
            neighbours: (radius > 0).then(neighbours).transpose()?,
            retriever: Retriever::new(builder, config, layer, attention_std)?,
            feed_forward_norm: Norm::new(&builder.scope("feed_forward_norm"), config)?,
            feed_forward: FeedForward::new(&builder.scope("feed_forward"), feed_forward, routing, hidden_std)?,
        })
    }

    /// The stream behind the block, of the rows that are read behind it.
    pub(crate) fn forward(
        &self,
        stream: &Stream,
        (features, beside): (Option<&Value>, Option<&Tensor>),
        (segments, fields, place): (&mut [Segment<'_>], &[Field], (Option<&Placed>, &Read)),
        layer: usize,
        report: &mut ComputeReport,
    ) -> Result<(Stream, Option<Routing>)> {
        let (x, normed) = self.attention_norm.forward(stream, features)?;
        let mut delta = self.branch(0, self.attention.forward(&normed, segments, layer)?)?;
        if let (Some(neighbours), Some(beside)) = (&self.neighbours, beside) {
            delta = delta.add(&neighbours.forward(&normed, beside)?)?;
        }
        let branch = Some(self.attention_norm.branch(delta, features)?);
        let stream = Stream { x, branch };
        let (x, normed) = self.before_feed_forward(&stream, features, fields)?;
        let (delta, routing) = self.feed_forward.forward(&normed, place, layer, report)?;
        let delta = self.branch(1, delta)?;
        let read = place.1;
        let x = read.of(&x)?;
        if read.is_nothing() {
            return Ok((Stream { x, branch: None }, None));
        }
        let features = features.map(|features| read.of(features)).transpose()?;
        let branch = Some(self.feed_forward_norm.branch(delta, features.as_ref())?);
        Ok((Stream { x, branch }, routing))
    }

    /// What one of the two halves adds, normed if this block does that.
    fn branch(&self, half: usize, delta: Value) -> Result<Value> {
        Ok(match &self.branch_gains {
            Some(gains) => delta.rms_norm(&gains[half], self.eps)?,
            None => delta,
        })
    }

    /// The stream, and what the feed-forward half reads of it. What is retrieved is read here and goes no further.
    fn before_feed_forward(
        &self,
        stream: &Stream,
        features: Option<&Value>,
        fields: &[Field],
    ) -> Result<(Value, Value)> {
        let Some(Retriever { norm, attention }) = &self.retriever else {
            return self.feed_forward_norm.forward(stream, features);
        };
        let (x, normed) = norm.forward(stream, features)?;
        let found = norm.branch(attention.forward(&normed, fields)?, features)?;
        let beside = Stream {
            x: x.clone(),
            branch: Some(found),
        };
        let (_, normed) = self.feed_forward_norm.forward(&beside, features)?;
        Ok((x, normed))
    }
}
