//! The shape of a network.

use candle_core::Device;
use drdiff_attention::AttentionConfig;
use drdiff_configs::Section;
use drdiff_kernels::{Rotary, frequencies};
use drdiff_routing::RoutingConfig;
use serde::{Deserialize, Serialize};

use crate::{Error, Form, Result, RopeScaling};

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
    /// How the rotary frequencies are stretched; not at all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// Added to the mean squares of the head vectors of queries and keys before the root, 1e-6 by default; `null` for
    /// networks that do not norm them.
    #[serde(default = "qk_norm_eps", skip_serializing_if = "is_qk_norm_eps")]
    pub qk_norm_eps: Option<f64>,
    /// Whether queries, keys and values have a bias. Off by default.
    #[serde(default, skip_serializing_if = "is_false")]
    pub qkv_bias: bool,
    /// How tokens enter the network and leave it; as evidence by default.
    #[serde(default, skip_serializing_if = "Head::is_evidence")]
    pub head: Head,
    /// What an absorbed position enters as; a learned vector by default.
    #[serde(default, skip_serializing_if = "Mask::is_learned")]
    pub mask: Mask,
    /// Whether clean positions see no later ones, so that what is committed is read as an autoregressive network reads it. Off
    /// by default: a clean block then sees itself in both directions.
    #[serde(default, skip_serializing_if = "is_false")]
    pub causal_context: bool,
    /// Whether the row of a clean token predicts the token behind it. Blocks of one position are then written without a row
    /// of their own. Off by default.
    #[serde(default, skip_serializing_if = "is_false")]
    pub next_token: bool,
    /// How the decoder differs from Llama; in nothing by default.
    #[serde(default, skip_serializing_if = "Form::is_plain")]
    pub form: Form,
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

#[expect(clippy::unnecessary_wraps, reason = "the type of the field")]
fn qk_norm_eps() -> Option<f64> {
    Some(1e-6)
}

fn is_qk_norm_eps(eps: &Option<f64>) -> bool {
    *eps == qk_norm_eps()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// How tokens enter a network and leave it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// One table of unit rows `e(x)`, of `embed` numbers, serves both ends, and soft positions enter as evidence.
    #[default]
    Evidence,
    /// One table of `width` numbers a token serves both ends.
    Tied,
    /// A table of `width` numbers a token at either end.
    Separate,
}

impl Head {
    fn is_evidence(&self) -> bool {
        *self == Self::Evidence
    }
}

/// What an absorbed position enters a network as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// A vector of its own, which is learned.
    #[default]
    Learned,
    /// The embedding of this token.
    Token(u32),
    /// The network knows no absorbed positions: it is an autoregressive one.
    Absent,
}

impl Mask {
    fn is_learned(&self) -> bool {
        *self == Self::Learned
    }
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
        self.validate_ends()?;
        self.form.validate(self.layers)?;
        let routing = self.routing.validate(self.layers);
        routing.map_err(|error| Error::Config(error.to_string()))?;
        if let Some(numbers) = self.attention.retrieves() {
            numbers.layers(self.layers)?;
        }
        Ok(self.attention.validate(self.context, self.layers)?)
    }

    /// Checks what tokens enter and leave as.
    fn validate_ends(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::Config(what));
        if self.head != Head::Evidence && self.embed != self.width {
            let (embed, width) = (self.embed, self.width);
            return wrong(format!(
                "`embed` is {embed}, and a table of tokens has rows of `width`, {width}"
            ));
        }
        if self.head == Head::Evidence && self.form.embedding_scale.is_some() {
            return wrong("networks that read evidence have unit rows; leave `form.embedding_scale` out".to_owned());
        }
        if self.head == Head::Evidence && self.mask != Mask::Learned {
            return wrong("networks that read evidence have a learned mask; leave `mask` out".to_owned());
        }
        if let Mask::Token(token) = self.mask
            && token as usize >= self.vocab
        {
            return wrong(format!("the mask is token {token} of {}", self.vocab));
        }
        if self.mask == Mask::Absent && !self.next_token {
            return wrong("without a mask the network has to predict next tokens (`next_token: true`)".to_owned());
        }
        if self.next_token && !self.causal_context {
            return wrong("`next_token` needs `causal_context`, or a token would see what it is to predict".to_owned());
        }
        self.rope_scaling
            .as_ref()
            .map_or(Ok(()), |scaling| scaling.validate(self.head_dim))
    }

    /// Rotations of these positions, one list for each sequence or one for all.
    ///
    /// # Errors
    /// If the lists differ in length.
    pub fn rotary(&self, positions: &[Vec<i64>], device: &Device) -> Result<Rotary> {
        let mut frequencies = frequencies(self.head_dim, self.rope_base);
        if let Some(scaling) = &self.rope_scaling {
            scaling.apply(&mut frequencies);
        }
        Ok(Rotary::with_frequencies(positions, &frequencies, device)?)
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

/// No presets: a model's configuration comes with its weights, and few values of it can be changed.
impl Section for ModelConfig {
    const NAME: &'static str = "model";
    const BASE: Option<&'static str> = None;

    fn check(&self) -> std::result::Result<(), String> {
        self.validate().map_err(|e| e.to_string())
    }
}
