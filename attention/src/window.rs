//! Layers that see the last positions of a text alone, as most layers of Gemma do: windows of attention (Beltagy et al., arXiv
//! 2004.05150), and rotations of their own.

use std::sync::Arc;

use drdiff_kernels::{KeyCode, QueryCode, Rotary, TILE, TilePlan, Value, Visibility};

use crate::layout::block_causal;
use crate::{Error, Result};

/// Which positions of one text read which, in layers with a window.
///
/// The rule of a plan has one bound, and a window has two. So the tile at the far end of a window, of which a query reads what lies behind
/// its own place in its own tile, is a plan of its own, and the two attentions are merged.
#[derive(Debug)]
pub struct CausalWindow {
    near: Arc<TilePlan>,
    far: Option<Arc<TilePlan>>,
}

impl CausalWindow {
    /// `len` positions, each of which sees itself and the `window - 1` before it.
    ///
    /// # Errors
    /// If the window is no multiple of 64, or there is no position.
    pub fn new(len: usize, window: usize) -> Result<Self> {
        if window == 0 || !window.is_multiple_of(TILE) {
            return Err(Error::Window(window));
        }
        let tiles = window / TILE;
        let near = TilePlan::from_lists(block_causal(len, 1)?, |tile| {
            ((tile + 1).saturating_sub(tiles)..=tile).collect()
        })?;
        let far = || TilePlan::from_lists(later(len), |tile| tile.checked_sub(tiles).into_iter().collect());
        Ok(Self {
            near: Arc::new(near),
            far: (len > window).then(far).transpose()?.map(Arc::new),
        })
    }

    /// Attention of queries `[B, T, H, D]` over keys and values `[B, T, G, D]`: `[B, T, H, D]`.
    ///
    /// # Errors
    /// If shapes do not fit each other or the text.
    pub fn attend(&self, [q, k, v]: [&Value; 3], scale: f64) -> Result<Value> {
        let near = q.tile_attention(k, v, &self.near, scale)?;
        let Some(far) = &self.far else { return Ok(near.0) };
        let far = q.tile_attention(k, v, far, scale)?;
        Ok(Value::merge([(&near.0, &near.1), (&far.0, &far.1)])?.0)
    }
}

/// Of the tiles that a plan lists, a query sees the keys behind its own place in a tile.
fn later(len: usize) -> Visibility {
    const NO_GROUP: i32 = -1;
    let place = |position: usize| (position % TILE) as i32;
    let last = TILE as i32 - 1;
    Visibility {
        queries: (0..len)
            .map(|position| QueryCode {
                limit: last - 1 - place(position),
                group: NO_GROUP,
            })
            .collect(),
        keys: (0..len)
            .map(|position| KeyCode {
                time: last - place(position),
                group: NO_GROUP,
            })
            .collect(),
    }
}

/// What some layers read instead of what a plan says of the others.
#[derive(Debug)]
pub struct LocalPlan {
    /// These layers, counted from 0.
    pub layers: Vec<usize>,
    /// What they read.
    pub window: CausalWindow,
    /// Rotations of the positions in them.
    pub rotary: Rotary,
}
