//! The parameters of a network: an ordered registry, and the builder through which layers create or receive them.

mod builder;
mod linear;

pub use builder::{Builder, Init, LoadReport, Loaded, Source};
pub use linear::Linear;

use crate::QuantizedMatrix;
use candle_core::{Tensor, Var};
use std::collections::BTreeMap;

/// One named parameter.
#[derive(Debug, Clone)]
pub enum Param {
    /// Learned, always f32.
    Trained(Var),
    /// Loaded for use only: no graph is recorded through it.
    Fixed(Tensor),
    /// Loaded for use only, in blocks of a few bits.
    Quantized(QuantizedMatrix),
}

/// All parameters in the order in which the layers asked for them, which is the same in every process.
#[derive(Debug, Clone, Default)]
pub struct Params {
    entries: Vec<(String, Param)>,
    hidden: BTreeMap<String, Vec<usize>>,
}

impl Params {
    /// Name and value of every parameter, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Param)> {
        self.entries.iter().map(|(name, param)| (name.as_str(), param))
    }

    /// Name and variable of every learned parameter, in order.
    pub fn vars(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.iter().filter_map(|(name, param)| match param {
            Param::Trained(var) => Some((name, var)),
            Param::Fixed(_) | Param::Quantized(_) => None,
        })
    }

    /// The parameter of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Param> {
        self.iter().find_map(|(known, param)| (known == name).then_some(param))
    }

    /// Rows of each matrix that is stacked in a hidden map (see [`Builder::hidden`]); `None` for any other parameter.
    #[must_use]
    pub fn hidden_parts(&self, name: &str) -> Option<&[usize]> {
        self.hidden.get(name).map(Vec::as_slice)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The sum of all element counts.
    #[must_use]
    pub fn element_count(&self) -> usize {
        self.iter()
            .map(|(_, param)| match param {
                Param::Trained(var) => var.elem_count(),
                Param::Fixed(tensor) => tensor.elem_count(),
                Param::Quantized(matrix) => matrix.dims().0 * matrix.dims().1,
            })
            .sum()
    }
}
