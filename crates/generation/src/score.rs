//! How likely a network finds a text that is given, token by token, as it would write it in blocks of one.

use drdiff_attention::{KvCache, LayerPlans, PassLayout};
use drdiff_data::Tokenizer;
use drdiff_diffusion::Level;
use drdiff_model::{BlockRow, CacheSizes, TokenBatch, Visible};
use drdiff_routing::ComputeReport;

use crate::cache_slot::{PREFILL, first_row};
use crate::runner::Runner;
use crate::{Error, Result};

/// Rows of logits that are fetched in a pass at most: vocabularies are long.
const ROWS: usize = 64;

/// A token that was given, and what the network expected in its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The token.
    pub token: u32,
    /// Logarithm of its probability behind all tokens before it, in nats.
    pub log_prob: f64,
    /// The likeliest token there, the first of equals, and the logarithm of its probability.
    pub likeliest: (u32, f64),
}

/// A text that is read to be scored, some tokens in each pass: [`Engine::score`](crate::Engine::score).
///
/// Each token is predicted behind all before it, at temperature 1: by the row of the token before where the network predicts next tokens,
/// and as a block of one absorbed position elsewhere, where the bound of diffusion is the likelihood itself. Experts run in full.
pub struct Scoring {
    /// What is read, with the row before the first token, if the network has one.
    read: Vec<u32>,
    /// The tokens of `read` that are not the text's: none or one.
    added: usize,
    at: usize,
    cache: KvCache,
    next_token: bool,
    scored: Vec<Scored>,
}

impl Scoring {
    /// The beginning of reading `ids`, which has at least one token.
    pub(crate) fn new(ids: &[u32], runner: &mut Runner, tokenizer: &Tokenizer) -> Result<Self> {
        let Runner { network, pool } = runner;
        let (spec, can) = (network.spec(), network.spec().capabilities);
        if let Some(token) = ids.iter().copied().find(|token| *token as usize >= spec.vocab) {
            return Err(Error::UnknownToken {
                token,
                vocab: spec.vocab,
            });
        }
        let first = first_row(ids, tokenizer).filter(|_| can.next_token);
        let read: Vec<u32> = first.into_iter().chain(ids.iter().copied()).collect();
        let sizes = CacheSizes {
            block_size: 1,
            pass: PREFILL + 1,
            text: read.len().max(1),
        };
        Ok(Self {
            added: read.len() - ids.len(),
            at: 0,
            cache: network.cache(None, sizes, pool)?,
            next_token: can.next_token,
            scored: Vec::with_capacity(ids.len()),
            read,
        })
    }

    /// Reads on with one network pass; the scores of all tokens from [`Scoring::unscored`] on when all is read.
    pub(crate) fn step(&mut self, runner: &mut Runner) -> Result<Option<Vec<Scored>>> {
        let total = self.read.len();
        // The last token is predicted and never read.
        if self.at + 1 >= total {
            return Ok(Some(std::mem::take(&mut self.scored)));
        }
        let most = if self.next_token { ROWS } else { 1 };
        let clean = self.read[self.at..total - 1].len().min(most);
        let spec = runner.network.spec();
        let layout = PassLayout {
            committed: self.cache.visible(),
            clean,
            clean_block: 1,
            noisy: usize::from(!self.next_token),
        };
        let visible = Visible {
            plan: LayerPlans::from(self.cache.plan(layout)?).in_blocks(layout.blocks()),
            units: self.cache.units(layout)?,
        };
        let mut batch = TokenBatch::new(spec.vocab, spec.embed);
        let absorbed = BlockRow {
            level: Level::Absorbed,
            token: None,
            evidence: &[],
            asked: true,
            last: None,
        };
        batch.segment(self.at as i64, visible, |batch| {
            for token in &self.read[self.at..self.at + clean] {
                batch.token(*token);
                if self.next_token {
                    batch.ask();
                }
            }
            if !self.next_token {
                batch.block(std::iter::once(absorbed), 1.0);
            }
        });
        let (vocab, mut report) = (spec.vocab, ComputeReport::default());
        let said = runner
            .network
            .forward(&batch, &mut [&mut self.cache], &mut runner.pool, &mut report)?;
        if let Some(said) = said {
            let logits = said.logits.flatten_all()?.to_vec1::<f32>()?;
            for (row, token) in logits.chunks_exact(vocab).zip(&self.read[self.at + 1..]) {
                self.scored.push(scored(row, *token)?);
            }
        }
        self.cache.commit(clean, PREFILL + 1)?;
        self.at += clean;
        Ok((self.at + 1 == total).then(|| std::mem::take(&mut self.scored)))
    }

    /// How many tokens of the text stand before the first one that is scored.
    #[must_use]
    pub fn unscored(&self) -> usize {
        1 - self.added
    }
}

/// The score of `token` by its row of logits.
fn scored(row: &[f32], token: u32) -> Result<Scored> {
    let mut most = 0;
    for (id, logit) in row.iter().enumerate() {
        if *logit > row[most] {
            most = id;
        }
    }
    let top = f64::from(row[most]);
    let total: f64 = row.iter().map(|logit| (f64::from(*logit) - top).exp()).sum();
    if !total.is_finite() {
        return Err(Error::Damaged);
    }
    let log = total.ln();
    Ok(Scored {
        token,
        log_prob: f64::from(row[token as usize]) - top - log,
        likeliest: (most as u32, -log),
    })
}
