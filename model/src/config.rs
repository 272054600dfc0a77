//! The shape of a network.

use drdiff_attention::AttentionConfig;
use drdiff_routing::RoutingConfig;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The most that a width or a count may be: products of three of them can still be counted.
const MOST: usize = 1 << 20;
/// The most tokens of a vocabulary, and positions of a training sequence.
const MOST_LONG: usize = 1 << 24;

/// Everything that decides the names and shapes of a network's tensors, and the lengths it was made for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Vocabulary size.
    pub vocab: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Dimension of the token embeddings, in which states and evidence live.
    pub embed: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Hidden width of the shared expert.
    pub hidden: usize,
    /// Positions that a training sequence had.
    pub context: usize,
    /// Base of the rotary frequencies.
    #[serde(default = "rope_base")]
    pub rope_base: f64,
    /// Added to mean squares before the root.
    #[serde(default = "norm_eps")]
    pub norm_eps: f64,
    /// Whether blocks are modulated by the mean noise level (adaLN). Off by default: with unit embeddings the
    /// posterior depends on the evidence alone, so no clock is needed.
    #[serde(default)]
    pub noise_conditioning: bool,
    /// Whether every block but the first reads the normalised input of the network again, with gains that begin at 0 (the skips from the
    /// embedding of the NanoGPT speedrun, KellerJordan/modded-nanogpt). Adds weights, so it is chosen when a network is made.
    #[serde(default)]
    pub embedding_skips: bool,
    /// Which positions read which.
    #[serde(default)]
    pub attention: AttentionConfig,
    /// Routed experts beside the shared one, in the upper half of the blocks unless it says otherwise; none by default.
    #[serde(default)]
    pub routing: RoutingConfig,
}

fn rope_base() -> f64 {
    10_000.0
}

fn norm_eps() -> f64 {
    1e-6
}

impl ModelConfig {
    /// Checks that a network of this shape can exist.
    ///
    /// # Errors
    /// Names the first thing that is impossible.
    pub fn validate(&self) -> Result<()> {
        let routing = &self.routing;
        let sizes = [
            ("vocab", self.vocab, MOST_LONG),
            ("width", self.width, MOST),
            ("embed", self.embed, MOST),
            ("layers", self.layers, MOST),
            ("heads", self.heads, MOST),
            ("kv_heads", self.kv_heads, MOST),
            ("head_dim", self.head_dim, MOST),
            ("hidden", self.hidden, MOST),
            ("context", self.context, MOST_LONG),
        ];
        if let Some((name, ..)) = sizes.iter().find(|(_, size, _)| *size == 0) {
            return Err(Error::Config(format!("`{name}` is 0")));
        }
        let others = [
            ("routing.experts", routing.experts, MOST),
            ("routing.expert_hidden", routing.expert_hidden, MOST),
            ("attention.neighbours", self.attention.neighbours, MOST),
        ];
        if let Some((name, size, most)) = sizes.iter().chain(&others).find(|(_, size, most)| size > most) {
            return Err(Error::Config(format!("`{name}` is {size}, and {most} is the most")));
        }
        for (name, value, least) in [("rope_base", self.rope_base, 1.0), ("norm_eps", self.norm_eps, 0.0)] {
            if !(value.is_finite() && value >= least) {
                return Err(Error::Config(format!(
                    "`{name}` is {value}; give a number from {least} on"
                )));
            }
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(Error::Config(format!(
                "`head_dim` is {}, and rotary positions need an even one",
                self.head_dim
            )));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            let (heads, kv_heads) = (self.heads, self.kv_heads);
            return Err(Error::Config(format!(
                "{heads} heads cannot share {kv_heads} key heads evenly"
            )));
        }
        let routing = self.routing.validate(self.layers);
        routing.map_err(|error| Error::Config(error.to_string()))?;
        if let Some(numbers) = self.attention.retrieves() {
            numbers.layers(self.layers)?;
        }
        Ok(self.attention.validate(self.context, self.layers)?)
    }

    /// Whether the weights of a network of this shape fit one of the other: they may differ in the attention plan, unless
    /// one of them retrieves, in the length of their training sequences, and in how rows and experts find each other.
    pub fn fits(&self, other: &Self) -> bool {
        let weights = |config: &Self| {
            config
                .attention
                .retrieves()
                .map(|numbers| (numbers.groups, numbers.landmark))
        };
        weights(self) == weights(other)
            && self.attention.neighbours == other.attention.neighbours
            && self.routing.fits(&other.routing, self.layers)
            && *other
                == Self {
                    routing: other.routing.clone(),
                    attention: other.attention.clone(),
                    context: other.context,
                    ..self.clone()
                }
    }
}
