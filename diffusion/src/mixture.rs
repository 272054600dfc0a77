//! The levels that training draws: which positions the network must predict, from how much evidence.

use drdiff_noise::{Noise, Purpose};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, require};
use crate::level::Level;
use crate::mask_order::MaskOrder;
use crate::masked_share::{MaskedShare, stratified};
use crate::schedule::{NoiseSchedule, ScheduleConfig};

/// How the cross-entropies of open positions are weighed against each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// Every open position counts 1.
    #[default]
    Flat,
    /// In absorbing sequences every *block* counts as much as it has positions: weight `B / k` with `k` of `B`
    /// positions masked, the `1 / t` of the continuous bound of MDLM (arXiv 2406.07524) in its discrete-chain form
    /// (BD3-LM, arXiv 2503.09573). With [`MaskedShare::Uniform`] the mean loss of absorbing sequences is then a bound in nats
    /// per token. Sequences with soft evidence keep flat weights (LangFlow, arXiv 2604.11748, trains on plain
    /// cross-entropy).
    Likelihood,
    /// The square root of the weights of [`Weighting::Likelihood`].
    Root,
}

/// Which positions share one level in gaussian sequences.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SoftScope {
    /// One level for each block, as when blocks are written one after another.
    #[default]
    Block,
    /// One level for the whole sequence.
    Sequence,
}

/// The mixture of per-position levels. The four shares are relative weights of kinds of *sequence*.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LevelMixture {
    /// Each block has masked positions (level 0) between anchors (infinite): masked diffusion.
    pub absorbing: f64,
    /// All positions of a block or sequence share one finite level: the Gaussian process.
    pub gaussian: f64,
    /// Every position draws its own finite level.
    pub independent: f64,
    /// Like absorbing, but a share of the masked positions carries soft evidence: the soft absorbing process.
    pub joint: f64,
    /// Share of the masked positions of joint sequences that are soft instead of absorbed, in [0, 1].
    pub joint_soft: f64,
    /// Draw of the masked share of a block, for absorbing and joint sequences.
    pub masked_share: MaskedShare,
    /// Which positions are masked, for the same sequences.
    pub mask_order: MaskOrder,
    /// Draw of finite levels: uniform in the time of this schedule.
    pub schedule: ScheduleConfig,
    /// Scope of a level in gaussian sequences.
    pub scope: SoftScope,
    /// Weights of the losses.
    pub weighting: Weighting,
}

impl Default for LevelMixture {
    /// Mostly absorbed, because absorbed states learn fastest.
    fn default() -> Self {
        Self {
            absorbing: 0.7,
            gaussian: 0.1,
            independent: 0.05,
            joint: 0.15,
            joint_soft: 0.5,
            masked_share: MaskedShare::default(),
            mask_order: MaskOrder::default(),
            schedule: ScheduleConfig::default(),
            scope: SoftScope::default(),
            weighting: Weighting::default(),
        }
    }
}

/// Levels and loss weights of a batch, both `[batch * len]` row-major. The loss is `sum w CE / sum w`.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    /// Signal-to-noise ratios as [`Level::encode`] writes them: 0, finite or infinite.
    pub snr: Vec<f32>,
    /// Loss weights: 0 at anchors, positive elsewhere.
    pub weight: Vec<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Absorbing,
    Gaussian,
    Independent,
    Joint,
}

impl LevelMixture {
    /// Only masked diffusion, flat weights.
    #[must_use]
    pub fn absorbing_only() -> Self {
        Self {
            absorbing: 1.0,
            gaussian: 0.0,
            independent: 0.0,
            joint: 0.0,
            ..Self::default()
        }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] naming the value, or [`Error::EmptyMixture`].
    pub fn validate(&self) -> Result<()> {
        let named = [
            ("absorbing", self.absorbing),
            ("gaussian", self.gaussian),
            ("independent", self.independent),
            ("joint", self.joint),
        ];
        for (name, share) in named {
            require(share >= 0.0 && share.is_finite(), name, share, "0 or more")?;
        }
        if named.iter().map(|(_, share)| share).sum::<f64>() <= 0.0 {
            return Err(Error::EmptyMixture);
        }
        require(
            (0.0..=1.0).contains(&self.joint_soft),
            "joint_soft",
            self.joint_soft,
            "between 0 and 1",
        )?;
        self.masked_share.validate()?;
        self.mask_order.validate()?;
        self.schedule.validate()
    }

    /// Draws levels for `batch` sequences of `len` positions in consecutive blocks of `block_size` (the last one may
    /// be shorter). Kinds, masked shares and times are each stratified over the batch. Every block has at least one
    /// open position. The draw depends on `noise` and `step` alone.
    ///
    /// # Errors
    /// Those of [`LevelMixture::validate`], and [`Error::Zero`] for an empty block.
    pub fn draw(&self, noise: &Noise, step: u64, batch: usize, len: usize, block_size: usize) -> Result<Levels> {
        self.validate()?;
        if block_size == 0 {
            return Err(Error::Zero("block_size"));
        }
        let blocks = len.div_ceil(block_size);
        let mut level_stream = noise.stream(Purpose::Level, step, 0);
        let mut share_stream = noise.stream(Purpose::MaskedShare, step, 0);
        let kinds: Vec<Kind> = stratified(&mut level_stream, batch)
            .into_iter()
            .map(|u| self.kind(u))
            .collect();
        let number = |wanted: &[Kind]| kinds.iter().filter(|k| wanted.contains(k)).count();
        let times = match self.scope {
            SoftScope::Block => number(&[Kind::Gaussian]) * blocks,
            SoftScope::Sequence => number(&[Kind::Gaussian]),
        };
        let mut times = stratified(&mut level_stream, times).into_iter();
        let mut shares = stratified(&mut share_stream, number(&[Kind::Absorbing, Kind::Joint]) * blocks).into_iter();

        let mut levels = Levels {
            snr: Vec::with_capacity(batch * len),
            weight: Vec::with_capacity(batch * len),
        };
        for kind in kinds {
            let mut shared = None;
            for start in (0..len).step_by(block_size) {
                let size = block_size.min(len - start);
                match kind {
                    Kind::Absorbing | Kind::Joint => {
                        let masked = self.masked_share.masked(shares.next().unwrap_or(0.0), size);
                        let open = self.mask_order.open(&mut share_stream, size, masked);
                        let weight = match (self.weighting, kind) {
                            (Weighting::Likelihood, Kind::Absorbing) => size as f32 / open.len() as f32,
                            (Weighting::Root, Kind::Absorbing) => (size as f32 / open.len() as f32).sqrt(),
                            _ => 1.0,
                        };
                        let base = levels.push_block(size, Level::Anchor, 0.0);
                        for position in open {
                            let soft = kind == Kind::Joint && level_stream.uniform() < self.joint_soft;
                            let level = if soft {
                                self.soft(level_stream.uniform())
                            } else {
                                Level::Absorbed
                            };
                            levels.snr[base + position] = level.encode();
                            levels.weight[base + position] = weight;
                        }
                    }
                    Kind::Gaussian => {
                        if shared.is_none() || self.scope == SoftScope::Block {
                            shared = times.next();
                        }
                        levels.push_block(size, self.soft(shared.unwrap_or(0.5)), 1.0);
                    }
                    Kind::Independent => {
                        for time in stratified(&mut level_stream, size) {
                            levels.push_block(1, self.soft(time), 1.0);
                        }
                    }
                }
            }
        }
        Ok(levels)
    }

    fn kind(&self, u: f64) -> Kind {
        let total = self.absorbing + self.gaussian + self.independent + self.joint;
        let mut left = u * total;
        let mut last = Kind::Absorbing;
        for (kind, share) in [
            (Kind::Absorbing, self.absorbing),
            (Kind::Gaussian, self.gaussian),
            (Kind::Independent, self.independent),
            (Kind::Joint, self.joint),
        ] {
            if share > 0.0 {
                if left < share {
                    return kind;
                }
                last = kind;
            }
            left -= share;
        }
        last
    }

    fn soft(&self, time: f64) -> Level {
        // Schedules with exact ends are infinite there; a soft level is finite.
        Level::Soft(self.schedule.log_snr(time).clamp(-30.0, 30.0).exp())
    }
}

impl Levels {
    /// Appends `size` positions and returns where they start.
    fn push_block(&mut self, size: usize, level: Level, weight: f32) -> usize {
        let base = self.snr.len();
        self.snr.resize(base + size, level.encode());
        self.weight.resize(base + size, weight);
        base
    }
}
