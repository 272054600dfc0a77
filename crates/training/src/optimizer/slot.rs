//! One parameter and what its optimiser remembers of it.

use candle_core::{Tensor, Var};
use drdiff_kernels::AdamWSlot;

/// One parameter with its optimiser's state, all f32.
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) var: Var,
    pub(crate) average: Option<Tensor>,
    pub(crate) owner: Owner,
}

/// The optimiser that moves a parameter.
pub(crate) enum Owner {
    AdamW(Moments),
    /// Its momentum lies in the stacks.
    Muon,
}

/// What AdamW remembers.
pub(crate) struct Moments {
    pub(crate) first: Tensor,
    pub(crate) second: Tensor,
    pub(crate) decays: bool,
}

impl Slot {
    /// The slot as AdamW's arithmetic takes it; none if Muon owns it or it has no gradient.
    pub(crate) fn adamw<'a>(&'a self, grad: Option<&'a Tensor>) -> Option<AdamWSlot<'a>> {
        match &self.owner {
            Owner::AdamW(moments) => Some(AdamWSlot {
                param: &self.var,
                grad: grad?,
                first: &moments.first,
                second: &moments.second,
                average: self.average.as_ref(),
                decays: moments.decays,
            }),
            Owner::Muon => None,
        }
    }
}
