//! A text that is read whole, to both sides, and is too long for one pass.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;
use drdiff_attention::retrieval::{CHUNK, Choices, Chunks, Field, Units};
use drdiff_attention::{PlanCache, Segment, Whole};
use drdiff_kernels::Rotary;

use crate::retrieval::asking;
use crate::{Error, Input, Network, Result, Tables};

/// What can be retrieved of a text, made piece by piece by the lower half of a network that retrieves. Nothing else is
/// kept of the text, so memory is that of the chunks, and a prediction costs what its neighbourhood does, plus one product
/// with each landmark.
///
/// The band moves information by `local` positions a layer. A piece is read with as much of its surroundings as can reach it, so
/// the numbers are those of one pass through the whole text, up to rounding.
pub struct LongText<'n> {
    network: &'n Network,
    tables: Tables,
    len: usize,
    /// Chunks that are encoded at a time.
    piece: usize,
    /// Tiles that one layer of the band reaches to each side.
    reach: usize,
    chunks: Chunks,
    plans: PlanCache<Whole>,
    /// By length: distances alone matter.
    rotaries: HashMap<usize, Arc<Rotary>>,
}

/// What the network makes of some positions.
pub struct Predicted {
    /// `[positions, vocab]` f32.
    pub logits: Tensor,
    /// For each layer that retrieves, the chunks that the positions' tiles chose, ascending.
    pub retrieved: Vec<Vec<usize>>,
}

impl<'n> LongText<'n> {
    /// A text of `len` positions of which nothing has been read yet; `piece` positions of it are encoded at a time (65,536
    /// take about 1 GB on a GPU for a width of 384).
    ///
    /// # Errors
    /// If the network does not retrieve or has layers of another plan, or the memory cannot be had.
    pub fn new(network: &'n Network, len: usize, piece: usize) -> Result<Self> {
        let config = network.config();
        // Layers that read more than the band would carry more into a piece than is read with it.
        let retrieves = config
            .attention
            .retrieves()
            .filter(|_| config.attention.layers.is_empty());
        let Some(numbers) = retrieves else {
            return Err(Error::Config(
                "a text is read piece by piece by networks with the plan `retrieval` in all layers only".to_owned(),
            ));
        };
        Ok(Self {
            network,
            tables: network.tables(None)?,
            len,
            piece: piece.div_ceil(CHUNK).max(1),
            reach: numbers.local / CHUNK,
            chunks: Chunks::room(len / CHUNK, network.cache_shape(), numbers.landmark)?,
            plans: PlanCache::new(Whole {
                attention: config.attention.clone(),
            }),
            rotaries: HashMap::new(),
        })
    }

    /// Encodes all chunks on which the positions `changed` have an influence. `text` are the inputs of all positions: tokens, or the
    /// vocabulary's size for absorbed ones. At first everything has changed.
    ///
    /// # Errors
    /// If `text` has another length, or an operation fails.
    pub fn read(&mut self, text: &[u32], changed: Range<usize>) -> Result<()> {
        let halo = self.reach * (self.network.config().layers / 2);
        let affected = self.tiles(&changed, halo);
        let (first, end) = (affected.start, affected.end.min(self.len / CHUNK));
        for start in (first..end).step_by(self.piece) {
            let piece = start..(start + self.piece).min(end);
            let window = self.positions(&self.tiles(&(piece.start * CHUNK..piece.end * CHUNK), halo));
            let rows = (piece.start * CHUNK - window.start) as u32..(piece.end * CHUNK - window.start) as u32;
            let rows = Tensor::arange(rows.start, rows.end, self.network.device())?;
            let input = self.input(text, &window)?;
            let rotary = self.rotary(window.len())?;
            let mut segments = [self.segment(&rotary, window.len(), None)?];
            let fresh = self.network.chunks(&self.tables, &input, &mut segments, &rows)?;
            if let Some(fresh) = fresh {
                self.chunks.put(piece.start, &fresh)?;
            }
        }
        Ok(())
    }

    /// What the network predicts at `positions`, of which `text` is read as in [`LongText::read`].
    ///
    /// # Errors
    /// If `text` has another length, or an operation fails.
    pub fn predict(&mut self, text: &[u32], positions: Range<usize>) -> Result<Predicted> {
        let config = self.network.config();
        let window = self.positions(&self.tiles(&positions, self.reach * config.layers));
        let numbers = &config.attention.retrieval;
        let units = Units::window(self.len, window.clone(), numbers.local)?;
        let units = Arc::new(units.choosing(numbers.together));
        let choices = Choices::default();
        let field = Field {
            batch: 1,
            units: units.clone(),
            chunks: self.chunks.clone(),
            asking: text.get(window.clone()).map(|ids| asking(ids, config.vocab)),
            choices: choices.clone(),
        };
        let rows = (positions.start - window.start) as u32..(positions.end - window.start) as u32;
        let rows = Tensor::arange(rows.start, rows.end, self.network.device())?;
        let input = self.input(text, &window)?.reading(rows);
        let network = self.network;
        let rotary = self.rotary(window.len())?;
        let mut segments = [self.segment(&rotary, window.len(), Some(units.clone()))?];
        let among = (segments.as_mut_slice(), std::slice::from_ref(&field));
        let hidden = network.forward_among(&self.tables, &input, among, &mut Default::default())?;
        let logits = network.logits(network.evidence(&hidden)?.tensor())?;
        let near = self.positions(&self.tiles(&positions, 0));
        let near = near.start - window.start..near.end - window.start;
        Ok(Predicted {
            logits,
            retrieved: choices.of(&units, &near),
        })
    }

    /// The tiles of some positions, and `halo` more to each side as far as there are any.
    fn tiles(&self, positions: &Range<usize>, halo: usize) -> Range<usize> {
        let end = positions.end.div_ceil(CHUNK) + halo;
        (positions.start / CHUNK).saturating_sub(halo)..end.min(self.len.div_ceil(CHUNK))
    }

    fn positions(&self, tiles: &Range<usize>) -> Range<usize> {
        tiles.start * CHUNK..(tiles.end * CHUNK).min(self.len)
    }

    fn input(&self, text: &[u32], window: &Range<usize>) -> Result<Input> {
        let Some(ids) = text.get(window.clone()).filter(|_| text.len() == self.len) else {
            let (wanted, len) = (self.len, text.len());
            return Err(Error::Config(format!("{len} positions of a text of {wanted}")));
        };
        let ids = Tensor::from_slice(ids, ids.len(), self.network.device())?;
        Ok(Input::discrete(ids))
    }

    /// The rotations of a window of `len` positions.
    fn rotary(&mut self, len: usize) -> Result<Arc<Rotary>> {
        if let Some(rotary) = self.rotaries.get(&len) {
            return Ok(rotary.clone());
        }
        let (config, positions) = (self.network.config(), (0..len as i64).collect());
        let device = self.network.device();
        let rotary = Arc::new(config.rotary(&[positions], device)?);
        self.rotaries.insert(len, rotary.clone());
        Ok(rotary)
    }

    fn segment<'r>(&self, rotary: &'r Rotary, len: usize, units: Option<Arc<Units>>) -> Result<Segment<'r>> {
        Ok(Segment {
            batch: 1,
            len,
            plan: self.plans.get(len, len)?,
            units,
            rotary,
            past: None,
        })
    }
}
