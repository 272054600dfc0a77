//! Keys and values of several texts in one memory, so that one call of attention serves all of them.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Tensor;
use drdiff_kernels::{TilePlan, put_rows};

use super::CacheShape;
use super::window::Window;
use crate::{Error, Result};

/// Seats for the windows of texts, all of one size.
#[derive(Debug)]
pub struct Bank {
    /// Keys and values of each layer, `[seats * capacity, kv_heads * head_dim]`.
    layers: Vec<(Tensor, Tensor)>,
    /// `(kv_heads, head_dim)`.
    heads: (usize, usize),
    /// Positions that a text sees and that a pass may hold.
    sizes: (usize, usize),
    capacity: usize,
    free: Mutex<Vec<usize>>,
}

/// The place of one text in a bank; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    bank: Arc<Bank>,
    index: usize,
}

/// Where in its bank a text has the keys that a pass reads, and where it puts its own.
#[derive(Debug, Clone)]
pub struct Place {
    bank: Arc<Bank>,
    keys: Range<usize>,
    slot: usize,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.shares(other) && (&self.keys, self.slot) == (&other.keys, other.slot)
    }
}

impl Place {
    /// Whether both texts have seats in one bank.
    #[must_use]
    pub fn shares(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bank, &other.bank)
    }
}

/// Texts of one bank in a pass to which each brings equally many positions.
#[derive(Debug)]
pub struct Cohort {
    bank: Arc<Bank>,
    plan: Arc<TilePlan>,
    /// Rows of the bank that the positions of the pass go to, `[texts * positions]` u32.
    slots: Tensor,
}

impl Bank {
    /// Memory for `seats` texts that see `window` committed positions and take passes of up to `pass`.
    ///
    /// # Errors
    /// If the memory cannot be had.
    pub fn new(shape: CacheShape<'_>, (window, pass): (usize, usize), seats: usize) -> Result<Arc<Self>> {
        let capacity = Window::new(window, pass).capacity();
        let rows = (seats * capacity, shape.kv_heads * shape.head_dim);
        Ok(Arc::new(Self {
            layers: shape.memory(rows)?,
            heads: (shape.kv_heads, shape.head_dim),
            sizes: (window, pass),
            capacity,
            free: Mutex::new((0..seats).rev().collect()),
        }))
    }

    /// Positions that a text sees and that a pass may hold.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        self.sizes
    }

    /// A seat that is free, if there is one.
    pub(super) fn seat(bank: &Arc<Self>) -> Option<Seat> {
        let index = bank.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        let bank = bank.clone();
        Some(Seat { bank, index })
    }

    /// All keys and values of a layer, `[1, seats * capacity, kv_heads, head_dim]`.
    fn whole(&self, layer: usize) -> Result<(Tensor, Tensor)> {
        let (keys, values) = &self.layers[layer];
        let (rows, (kv_heads, head_dim)) = (keys.dim(0)?, self.heads);
        let shape = (1, rows, kv_heads, head_dim);
        Ok((keys.reshape(shape)?, values.reshape(shape)?))
    }
}

impl Seat {
    /// Views of the text's own keys and values in each layer, `[1, capacity, kv_heads, head_dim]`.
    pub(super) fn layers(&self) -> Result<Vec<(Tensor, Tensor)>> {
        let Bank { capacity, heads, .. } = *self.bank;
        let own = |rows: &Tensor| {
            let own = rows.narrow(0, self.index * capacity, capacity)?;
            own.reshape((1, capacity, heads.0, heads.1))
        };
        let layers = self.bank.layers.iter();
        layers.map(|(keys, values)| Ok((own(keys)?, own(values)?))).collect()
    }

    /// The place of a pass whose text reads `count` slots from `first` on and writes from `slot` on.
    pub(super) fn place(&self, (first, count): (usize, usize), slot: usize) -> Place {
        let start = self.index * self.bank.capacity;
        Place {
            bank: self.bank.clone(),
            keys: start + first..start + first + count,
            slot: start + slot,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut free = self.bank.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(self.index);
    }
}

impl Cohort {
    /// The texts at `places`, which read by `plans` and bring `len` positions each.
    ///
    /// # Errors
    /// If there are none, they have seats in several banks, or the plans do not fit.
    pub fn new(places: &[Place], plans: &[Arc<TilePlan>], len: usize) -> Result<Self> {
        let Some(bank) = places
            .first()
            .filter(|one| places.iter().all(|other| one.shares(other)))
        else {
            return Err(Error::Cohort);
        };
        let bank = bank.bank.clone();
        let first: Vec<usize> = places.iter().map(|place| place.keys.start).collect();
        let slots = places.iter().flat_map(|place| place.slot..place.slot + len);
        let slots = slots.map(|slot| slot as u32).collect();
        Ok(Self {
            plan: Arc::new(TilePlan::seated(plans, &first)?),
            slots: Tensor::from_vec(slots, places.len() * len, bank.layers[0].0.device())?,
            bank,
        })
    }

    /// The plan of all texts.
    #[must_use]
    pub fn plan(&self) -> &Arc<TilePlan> {
        &self.plan
    }

    /// Writes keys and values, `[texts * positions, kv_heads * head_dim]`, behind the committed ones of their texts, and
    /// returns those of the whole bank, whose seats are those of the plan.
    pub(crate) fn extend(&self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (keys, values) = &self.bank.layers[layer];
        put_rows(keys, k, &self.slots)?;
        put_rows(values, v, &self.slots)?;
        self.bank.whole(layer)
    }
}
