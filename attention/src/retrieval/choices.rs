//! What the layers of a pass chose, kept to be looked at.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Selection, Units};

/// The selections of a pass, layer after layer; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Choices(Arc<Mutex<Vec<Selection>>>);

impl Choices {
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn push(&self, selection: Selection) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(selection);
    }

    /// The chunks that the units of one sequence within `rows` chose, ascending, for each layer that retrieves.
    #[must_use]
    pub fn of(&self, units: &Units, rows: &Range<usize>) -> Vec<Vec<usize>> {
        let within = |unit: &Range<usize>| rows.start <= unit.start && unit.end <= rows.end;
        let layers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let chunks = |selection: &Selection| {
            let own = units.units().iter().enumerate().filter(|(_, unit)| within(&unit.rows));
            let chosen: BTreeSet<usize> = own
                .flat_map(|(index, _)| selection.of(index).iter().map(|chunk| *chunk as usize))
                .collect();
            chosen.into_iter().collect()
        };
        layers.iter().map(chunks).collect()
    }
}
