//! The optimiser's state by name, as it lies in a checkpoint.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::slot::Owner;
use super::{Optimizer, Slot};
use crate::Result;

const WEIGHT: &str = "weight";
const FIRST: &str = "first_moment";
const SECOND: &str = "second_moment";
const MOMENTUM: &str = "momentum";
const AVERAGE: &str = "average";

/// Whether a tensor of this name is one that only [`Optimizer::state`] gives.
pub(crate) fn is_of_state(name: &str) -> bool {
    let kind = name.split_once('.').map(|(kind, _)| kind);
    kind.is_some_and(|kind| [FIRST, SECOND, MOMENTUM].contains(&kind))
}

impl Optimizer {
    /// The weights for generation: averages where there are any.
    pub(crate) fn averaged(&self) -> Vec<(String, Tensor)> {
        let weight = |slot: &Slot| slot.average.as_ref().unwrap_or(&slot.var).clone();
        self.slots
            .iter()
            .map(|slot| (slot.name.clone(), weight(slot)))
            .collect()
    }

    /// The weights as they are.
    pub(crate) fn weights(&self) -> Vec<(String, Tensor)> {
        let named = |slot: &Slot| (slot.name.clone(), slot.var.as_tensor().clone());
        self.slots.iter().map(named).collect()
    }

    /// Goes on from the averaged weights, where there are any.
    pub(crate) fn adopt_average(&mut self) -> Result<()> {
        for slot in &self.slots {
            if let Some(average) = &slot.average {
                slot.var.set(average)?;
            }
        }
        Ok(())
    }

    /// Everything that going on needs: for each parameter `weight.NAME`, the moments or the momentum, and the average.
    pub(crate) fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut state = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            let mut push = |kind: &str, tensor: &Tensor| state.push((format!("{kind}.{}", slot.name), tensor.clone()));
            push(WEIGHT, &slot.var);
            match &slot.owner {
                Owner::AdamW(moments) => {
                    push(FIRST, &moments.first);
                    push(SECOND, &moments.second);
                }
                Owner::Muon => push(MOMENTUM, &self.momentum(index)?),
            }
            if let Some(average) = &slot.average {
                push(AVERAGE, average);
            }
        }
        Ok(state)
    }

    /// Takes over what [`Optimizer::state`] gave, after `updates` updates. `take` finds a tensor by name and shape.
    pub(crate) fn restore(
        &mut self,
        updates: u64,
        mut take: impl FnMut(&str, &[usize]) -> Result<Tensor>,
    ) -> Result<()> {
        let mut momenta = BTreeMap::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let dims = slot.var.dims().to_vec();
            let mut fetch = |kind: &str| take(&format!("{kind}.{}", slot.name), &dims);
            slot.var.set(&fetch(WEIGHT)?)?;
            match &mut slot.owner {
                Owner::AdamW(moments) => {
                    moments.first = fetch(FIRST)?;
                    moments.second = fetch(SECOND)?;
                }
                Owner::Muon => {
                    momenta.insert(index, fetch(MOMENTUM)?);
                }
            }
            if slot.average.is_some() {
                slot.average = Some(fetch(AVERAGE)?);
            }
        }
        for stack in &mut self.stacks {
            stack.restore(&momenta)?;
        }
        self.updates = updates;
        Ok(())
    }

    /// The momentum of one slot in its parameter's shape.
    fn momentum(&self, slot: usize) -> Result<Tensor> {
        let mut parts = Vec::new();
        for stack in &self.stacks {
            parts.extend(stack.parts(slot)?);
        }
        parts.sort_by_key(|(row, _)| *row);
        let parts: Vec<Tensor> = parts.into_iter().map(|(_, part)| part).collect();
        Ok(Tensor::cat(&parts, 0)?)
    }
}
