//! Counter-based random numbers: what a draw is worth depends on what it is for, never on who drew before.
//!
//! Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//! Noise is keyed by (seed, request, purpose, step, position), so batch mates, shards and threads cannot change it.

use rand::RngCore;
use rand_distr::{Distribution, StandardNormal};

/// The block function of Philox 4x32 with ten rounds: 128 bits of counter to 128 random bits under a 64-bit key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Philox4x32 {
    key: [u32; 2],
}

impl Philox4x32 {
    const ROUNDS: usize = 10;
    const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

    /// A generator with this key.
    #[must_use]
    pub const fn new(key: [u32; 2]) -> Self {
        Self { key }
    }

    /// The four random words at this counter.
    #[must_use]
    pub fn block(self, counter: [u32; 4]) -> [u32; 4] {
        let [mut c0, mut c1, mut c2, mut c3] = counter;
        let [mut k0, mut k1] = self.key;
        for _ in 0..Self::ROUNDS {
            let first = u64::from(Self::MULTIPLIERS[0]) * u64::from(c0);
            let second = u64::from(Self::MULTIPLIERS[1]) * u64::from(c2);
            c0 = high(second) ^ c1 ^ k0;
            c1 = low(second);
            c2 = high(first) ^ c3 ^ k1;
            c3 = low(first);
            k0 = k0.wrapping_add(Self::WEYL[0]);
            k1 = k1.wrapping_add(Self::WEYL[1]);
        }
        [c0, c1, c2, c3]
    }
}

const fn low(word: u64) -> u32 {
    word as u32
}

const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

/// What a draw is used for; draws for different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Purpose {
    /// Initial parameters.
    Init = 0,
    /// Order and cropping of training documents.
    Data = 1,
    /// Noise level of a position.
    Level = 2,
    /// Share of masked positions.
    MaskedShare = 3,
    /// Block size of a training step.
    BlockSize = 4,
    /// Gaussian noise put on a training example.
    Corrupt = 5,
    /// The state from which generation starts.
    Prior = 6,
    /// Noise that a stochastic solver injects.
    Solver = 7,
    /// Choice of a token.
    Sample = 8,
    /// Choice of the positions to commit.
    Commit = 9,
    /// Whether a training step conditions on its own prediction.
    SelfCondition = 10,
    /// Kind of a lesson of distillation.
    Lesson = 11,
    /// Which training windows lose their opening, and how much of it.
    PromptDropout = 12,
    /// Share of the full compute that a training pass may spend.
    Compute = 13,
    /// Made-up windows of a training step.
    Exercise = 14,
    /// Choice of a token that is only a draft.
    Draft = 15,
    /// Whether a draft is accepted.
    Accept = 16,
}

/// The source of all noise of one request (or of one training run).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noise {
    seed: u64,
    request: u64,
}

impl Noise {
    /// Noise for `request` under the user's `seed`.
    #[must_use]
    pub const fn new(seed: u64, request: u64) -> Self {
        Self { seed, request }
    }

    /// The stream of draws for one purpose, step and position.
    ///
    /// Streams never overlap for steps and positions below 2^32; above, they are hashed together.
    #[must_use]
    pub fn stream(&self, purpose: Purpose, step: u64, position: u64) -> NoiseStream {
        let seed = Philox4x32::new([low(self.seed), high(self.seed)]);
        let [k0, k1, ..] = seed.block([low(self.request), high(self.request), purpose as u32, 0]);
        NoiseStream {
            philox: Philox4x32::new([k0, k1]),
            counter: [0, low(position), low(step), high(position) ^ high(step).rotate_left(16)],
            words: [0; 4],
            used: 4,
        }
    }

    /// Fills `out` with standard normal draws.
    pub fn normal(&self, purpose: Purpose, step: u64, position: u64, out: &mut [f64]) {
        let mut stream = self.stream(purpose, step, position);
        out.fill_with(|| StandardNormal.sample(&mut stream));
    }

    /// One uniform draw in `[0, 1)`, a multiple of 2^-53.
    #[must_use]
    pub fn uniform(&self, purpose: Purpose, step: u64, position: u64) -> f64 {
        self.stream(purpose, step, position).uniform()
    }
}

/// An endless stream of draws; implements [`RngCore`], so that `rand_distr`'s distributions work on it.
#[derive(Debug, Clone)]
pub struct NoiseStream {
    philox: Philox4x32,
    counter: [u32; 4],
    words: [u32; 4],
    used: usize,
}

impl NoiseStream {
    /// A uniform draw in `[0, 1)`, a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A uniform whole number in `0..below`, without bias.
    ///
    /// # Panics
    /// If `below` is 0.
    pub fn below(&mut self, below: usize) -> usize {
        rand::Rng::random_range(self, 0..below)
    }

    /// Shuffles in place (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

impl RngCore for NoiseStream {
    fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.words = self.philox.block(self.counter);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    fn next_u64(&mut self) -> u64 {
        let low = u64::from(self.next_u32());
        low | u64::from(self.next_u32()) << 32
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(4) {
            chunk.copy_from_slice(&self.next_u32().to_le_bytes()[..chunk.len()]);
        }
    }
}
