//! Matrices of one shape, over all layers, as Muon moves them.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use drdiff_kernels::{MuonSlot, MuonStep, Params, muon};

use super::slot::Slot;
use crate::Result;

/// All logical matrices of one shape with their momentum.
pub(crate) struct Stack {
    /// Slot and first row of each.
    places: Vec<(usize, usize)>,
    /// `[matrices, rows, columns]` f32.
    momentum: Tensor,
}

impl Stack {
    /// The hidden matrices among `slots`, sorted by shape: fused maps count as the matrices that they hold.
    pub(crate) fn all(params: &Params, slots: &[Slot]) -> Result<Vec<Self>> {
        let mut shapes: BTreeMap<(usize, usize), Vec<(usize, usize)>> = BTreeMap::new();
        for (index, slot) in slots.iter().enumerate() {
            let columns = slot.var.dims().last().copied().unwrap_or_default();
            let mut row = 0;
            for &rows in params.hidden_parts(&slot.name).unwrap_or_default() {
                shapes.entry((rows, columns)).or_default().push((index, row));
                row += rows;
            }
        }
        let stack = |((rows, columns), places): (_, Vec<(usize, usize)>)| {
            let shape = (places.len(), rows, columns);
            let device = slots[places[0].0].var.device();
            let momentum = Tensor::zeros(shape, DType::F32, device)?;
            Ok(Self { places, momentum })
        };
        shapes.into_iter().map(stack).collect()
    }

    /// One step; `grads` are those of all slots.
    pub(crate) fn step(
        &mut self,
        slots: &[Slot],
        grads: &[Option<Tensor>],
        by: &MuonStep,
        clip: &Tensor,
    ) -> Result<()> {
        let matrices: Vec<MuonSlot<'_>> = self
            .places
            .iter()
            .map(|&(index, row)| MuonSlot {
                param: &slots[index].var,
                grad: grads[index].as_ref(),
                average: slots[index].average.as_ref(),
                row,
            })
            .collect();
        self.momentum = muon(&matrices, &self.momentum, by, clip)?;
        Ok(())
    }

    /// Matrices, rows, columns.
    #[cfg(test)]
    pub(crate) fn shape(&self) -> &[usize] {
        self.momentum.dims()
    }

    /// First row and momentum of each matrix of one slot.
    pub(crate) fn parts(&self, slot: usize) -> Result<Vec<(usize, Tensor)>> {
        let mine = self.places.iter().enumerate().filter(|(_, place)| place.0 == slot);
        mine.map(|(at, place)| Ok((place.1, self.momentum.get(at)?))).collect()
    }

    /// Takes the momentum out of that of whole slots, each in its parameter's shape.
    pub(crate) fn restore(&mut self, whole: &BTreeMap<usize, Tensor>) -> Result<()> {
        let rows = self.momentum.dim(1)?;
        let parts = self
            .places
            .iter()
            .filter_map(|(slot, row)| Some(whole.get(slot)?.narrow(0, *row, rows)))
            .collect::<candle_core::Result<Vec<_>>>()?;
        self.momentum = Tensor::stack(&parts, 0)?;
        Ok(())
    }
}
