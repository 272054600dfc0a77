//! A weight of a few bits.

use super::activation::Rounded;
use super::format::{Format, LINE, Line};
use super::lines::Lines;
use super::panel::{pack, unpack, unpack_rows};
use super::tile::{Isa, LANES};
use super::{BLOCK, activation, product};
use crate::ops::Operand;
use crate::team::Team;
use crate::{Error, Result};
use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{DType, Device, Module, Tensor};
use std::ops::Range;
use std::sync::Arc;

const NAME: &str = "quantised product";

/// `[outputs, inputs]` in blocks of a few bits, on the CPU; clones share the memory.
#[derive(Clone)]
pub struct QuantizedMatrix {
    outputs: usize,
    inputs: usize,
    weight: Weight,
}

#[derive(Clone)]
enum Weight {
    /// In blocks of 32, repacked.
    Panels(Panels),
    /// Any other format, through the tensor library.
    Library(Arc<QTensor>, QMatMul),
}

#[derive(Clone)]
struct Panels {
    format: Format,
    lines: Arc<Lines>,
    isa: Isa,
}

impl std::fmt::Debug for QuantizedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "QuantizedMatrix({} x {})", self.outputs, self.inputs)
    }
}

impl QuantizedMatrix {
    /// Takes over a matrix that was read from a file.
    ///
    /// # Errors
    /// If the tensor is no matrix, or the system has no memory left.
    pub fn new(tensor: QTensor) -> Result<Self> {
        let (outputs, inputs) = tensor.shape().dims2()?;
        let repacked = tensor.device().is_cpu() && inputs.is_multiple_of(BLOCK);
        let weight = match Format::of(tensor.dtype()).filter(|_| repacked) {
            Some(format) => Weight::Panels(Panels {
                format,
                lines: Arc::new(pack(format, &tensor.data()?, outputs, inputs).map_err(candle_core::Error::from)?),
                isa: Isa::best(),
            }),
            None => {
                let tensor = Arc::new(tensor);
                Weight::Library(tensor.clone(), QMatMul::from_arc(tensor)?)
            }
        };
        Ok(Self {
            outputs,
            inputs,
            weight,
        })
    }

    /// Outputs and inputs.
    #[must_use]
    pub fn dims(&self) -> (usize, usize) {
        (self.outputs, self.inputs)
    }

    /// Bytes in memory.
    #[must_use]
    pub fn storage_size_in_bytes(&self) -> usize {
        match &self.weight {
            Weight::Panels(Panels { lines, .. }) => lines.len() * LINE,
            Weight::Library(tensor, _) => tensor.storage_size_in_bytes(),
        }
    }

    /// `x W^T` for f32 `x: [.., inputs]`: `[.., outputs]`. Records no gradient.
    ///
    /// Each input row is rounded to 8 bits a number, with one scale for every 32 of them (for every 256 in the formats
    /// that GGML calls K). In formats with blocks of 32, the result depends neither on the threads nor on the instruction set, nor on
    /// the other rows.
    ///
    /// # Errors
    /// If the last dimension of `x` is not the number of inputs, or `x` is not f32 on the CPU.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.weight {
            Weight::Panels(panels) => self.product(x, panels, &panels.lines, self.outputs),
            Weight::Library(_, matmul) => {
                self.shape(x, self.outputs)?;
                Ok(matmul.forward(&x.contiguous()?)?)
            }
        }
    }

    /// Whether [`QuantizedMatrix::forward_part`] takes parts of `outputs` outputs.
    #[must_use]
    pub fn has_parts_of(&self, outputs: usize) -> bool {
        matches!(self.weight, Weight::Panels(_)) && outputs.is_multiple_of(LANES)
    }

    /// [`QuantizedMatrix::forward`] by some of the outputs only, as if the others were not there.
    ///
    /// # Errors
    /// As there, and if the outputs do not begin or end where [`QuantizedMatrix::has_parts_of`] allows it.
    pub fn forward_part(&self, x: &Tensor, outputs: Range<usize>) -> Result<Tensor> {
        match &self.weight {
            Weight::Panels(panels)
                if outputs.end <= self.outputs
                    && outputs.start.is_multiple_of(LANES)
                    && outputs.len().is_multiple_of(LANES) =>
            {
                let lines = self.inputs / BLOCK * panels.format.lines();
                let part = outputs.start / LANES * lines..outputs.end / LANES * lines;
                self.product(x, panels, &panels.lines[part], outputs.len())
            }
            _ => Err(Error::shape(NAME, format!("outputs {outputs:?} of {self:?}"))),
        }
    }

    fn product(&self, x: &Tensor, panels: &Panels, lines: &[Line], outputs: usize) -> Result<Tensor> {
        let shape = self.shape(x, outputs)?;
        let x = x.contiguous()?;
        let operand = Operand::new(NAME, &x);
        let rows = activation::quantize(operand.slice()?, self.inputs);
        let Panels { format, isa, .. } = *panels;
        let out = product::product(isa, format, &rows, lines, self.inputs / BLOCK, outputs);
        Ok(Tensor::from_vec(out, shape, &Device::Cpu)?)
    }

    /// Whether [`QuantizedMatrix::product_together`] can be had.
    pub(crate) fn is_repacked(&self) -> bool {
        matches!(self.weight, Weight::Panels(_))
    }

    /// [`QuantizedMatrix::forward`] of one row into `out`, of as many numbers as there are outputs, with the same bits.
    ///
    /// # Panics
    /// If the weight is not repacked or sizes do not fit.
    pub(crate) fn product_together(&self, team: &mut Team, x: &Rounded, out: &mut [f32]) {
        let Weight::Panels(Panels { format, lines, isa }) = &self.weight else {
            panic!("{self:?} is not repacked")
        };
        assert_eq!((out.len(), x.0.len() * BLOCK), self.dims(), "{NAME}");
        product::row(team, *isa, *format, &x.0, lines, out);
    }

    /// The shape of the product of `x` with so many of the outputs.
    fn shape(&self, x: &Tensor, outputs: usize) -> Result<Vec<usize>> {
        let mut shape = x.dims().to_vec();
        match shape.last_mut() {
            Some(last) if *last == self.inputs => *last = outputs,
            _ => return Err(Error::shape(NAME, format!("input {shape:?} for {self:?}"))),
        }
        Ok(shape)
    }

    /// The weights of some outputs as f32, `[ids.len(), inputs]`: rows of a table, of which few are wanted at a time.
    ///
    /// # Errors
    /// If an id is no output, or the matrix is in a format that is not repacked and cannot be read as a whole.
    pub fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.outputs) {
            return Err(Error::shape(NAME, format!("row {id} of {self:?}")));
        }
        let shape = (ids.len(), self.inputs);
        match &self.weight {
            Weight::Panels(Panels { format, lines, .. }) => {
                let numbers = unpack_rows(*format, lines, ids, self.inputs);
                Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
            }
            Weight::Library(..) => {
                let ids = Tensor::from_slice(ids, ids.len(), &Device::Cpu)?;
                Ok(self.dequantize(&Device::Cpu)?.index_select(&ids, 0)?)
            }
        }
    }

    /// The weights as f32, `[outputs, inputs]`.
    ///
    /// # Errors
    /// If the device cannot hold them.
    pub fn dequantize(&self, device: &Device) -> Result<Tensor> {
        let shape = (self.outputs, self.inputs);
        match &self.weight {
            Weight::Panels(Panels { format, lines, .. }) => {
                let numbers = unpack(*format, lines, self.outputs, self.inputs);
                Ok(Tensor::from_vec(numbers, shape, device)?)
            }
            Weight::Library(tensor, _) => Ok(tensor.dequantize(device)?.to_dtype(DType::F32)?),
        }
    }
}
