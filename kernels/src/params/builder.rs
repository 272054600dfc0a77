//! How layers get their parameters: drawn anew, or out of a checkpoint.

use super::{Linear, Param, Params};
use drdiff_noise::{Noise, Purpose};

use crate::{QuantizedMatrix, Result};
use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Shape, Tensor, Var};
use rand_distr::{Distribution, StandardNormal};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::rc::Rc;

/// How a new parameter is filled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// With one value.
    Const(f64),
    /// With normal draws of this standard deviation.
    Normal(f64),
    /// As [`Init::Normal`], for the last map of a residual branch: zeros where [`Builder::zero_residuals`] asks for them.
    Residual(f64),
}

/// A tensor out of a checkpoint.
#[derive(Debug)]
pub enum Loaded {
    /// Plain numbers.
    Dense(Tensor),
    /// Blocks of a few bits.
    Quantized(QTensor),
}

/// Where parameters come from.
#[derive(Debug)]
pub enum Source {
    /// New draws, which depend on the seed and on the parameter's name, not on the order of creation.
    Init(Noise),
    /// Tensors of a checkpoint; learned further if `trainable`, in which case they become f32 variables.
    Loaded {
        /// By full name.
        tensors: BTreeMap<String, Loaded>,
        /// Whether gradients are wanted.
        trainable: bool,
    },
}

/// What of a checkpoint did not fit the network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadReport {
    /// Asked for by the network, absent in the checkpoint.
    pub missing: Vec<String>,
    /// In the checkpoint, not asked for.
    pub unexpected: Vec<String>,
    /// Present in another shape: name, wanted, found.
    pub mismatched: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl LoadReport {
    /// Whether every tensor found its place.
    #[must_use]
    pub fn fits(&self) -> bool {
        self == &Self::default()
    }
}

struct State {
    source: Source,
    params: Params,
    report: LoadReport,
    zero_residuals: bool,
}

/// A named place in the network from which layers take their parameters; clones share one registry.
#[derive(Clone)]
pub struct Builder {
    state: Rc<RefCell<State>>,
    path: String,
    device: Device,
}

impl Builder {
    /// The root, with an empty registry.
    #[must_use]
    pub fn new(source: Source, device: &Device) -> Self {
        Self {
            state: Rc::new(RefCell::new(State {
                source,
                params: Params::default(),
                report: LoadReport::default(),
                zero_residuals: false,
            })),
            path: String::new(),
            device: device.clone(),
        }
    }

    /// Fills parameters of [`Init::Residual`] with zeros, so that every residual branch begins as no change at all
    /// (Zhang et al., "Fixup", arXiv 1901.09321).
    #[must_use]
    pub fn zero_residuals(self) -> Self {
        self.state.borrow_mut().zero_residuals = true;
        self
    }

    /// The place `name` inside this one; paths are joined by dots.
    #[must_use]
    pub fn scope(&self, name: impl Display) -> Self {
        Self {
            path: self.join(&name),
            ..self.clone()
        }
    }

    /// Where parameters are put.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A parameter of this shape: an f32 variable when training, a plain tensor otherwise.
    ///
    /// A tensor that a checkpoint lacks, or has in another shape, is noted for [`Builder::finish`] and replaced by
    /// a zero that takes no room, so that one report names every problem, whatever the sizes. Floats of other widths become f32.
    ///
    /// # Errors
    /// If the tensor library refuses to make it.
    pub fn tensor(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Result<Tensor> {
        let shape = shape.into();
        let param = match self.take(name, &shape, init)? {
            Param::Quantized(matrix) => Param::Fixed(matrix.dequantize(&self.device)?),
            other => other,
        };
        let tensor = match &param {
            Param::Trained(var) => var.as_tensor().clone(),
            Param::Fixed(tensor) => tensor.clone(),
            Param::Quantized(_) => unreachable!("made dense above"),
        };
        self.register(name, param);
        Ok(tensor)
    }

    /// A linear map from `inputs` to `outputs`, its weight at this name.
    ///
    /// # Errors
    /// As [`Builder::tensor`].
    pub fn linear(&self, name: &str, outputs: usize, inputs: usize, init: Init) -> Result<Linear> {
        let param = self.take(name, &Shape::from((outputs, inputs)), init)?;
        let linear = match &param {
            Param::Trained(var) => Linear::Dense(var.as_tensor().clone()),
            Param::Fixed(tensor) => Linear::Dense(tensor.clone()),
            Param::Quantized(matrix) => Linear::Quantized(matrix.clone()),
        };
        self.register(name, param);
        Ok(linear)
    }

    /// A linear map between activations inside the network, whose rows are those of logical matrices of `parts` rows,
    /// one after another (queries, keys and values, say). An optimiser may treat each of them as a matrix.
    ///
    /// # Errors
    /// As [`Builder::tensor`].
    pub fn hidden(&self, name: &str, parts: &[usize], inputs: usize, init: Init) -> Result<Linear> {
        let linear = self.linear(name, parts.iter().sum(), inputs, init)?;
        let hidden = &mut self.state.borrow_mut().params.hidden;
        hidden.insert(self.join(&name), parts.to_vec());
        Ok(linear)
    }

    /// The registry, and what of the checkpoint did not fit (nothing, for new parameters).
    #[must_use]
    pub fn finish(self) -> (Params, LoadReport) {
        let mut state = self.state.borrow_mut();
        let mut report = std::mem::take(&mut state.report);
        if let Source::Loaded { tensors, .. } = &mut state.source {
            report.unexpected = std::mem::take(tensors).into_keys().collect();
        }
        (std::mem::take(&mut state.params), report)
    }

    fn join(&self, name: &impl Display) -> String {
        match self.path.as_str() {
            "" => name.to_string(),
            path => format!("{path}.{name}"),
        }
    }

    fn register(&self, name: &str, param: Param) {
        self.state.borrow_mut().params.entries.push((self.join(&name), param));
    }

    fn take(&self, name: &str, shape: &Shape, init: Init) -> Result<Param> {
        let name = self.join(&name);
        let state = &mut *self.state.borrow_mut();
        match &mut state.source {
            Source::Init(noise) => {
                let init = match init {
                    Init::Residual(_) if state.zero_residuals => Init::Const(0.0),
                    other => other,
                };
                let values = draw(*noise, &name, shape.elem_count(), init);
                let tensor = Tensor::from_vec(values, shape, &self.device)?;
                Ok(Param::Trained(Var::from_tensor(&tensor)?))
            }
            Source::Loaded { tensors, trainable } => {
                let found = tensors.remove(&name);
                let trainable = *trainable;
                let found = accept(found, name, shape, &mut state.report);
                self.place(found, shape, trainable)
            }
        }
    }

    fn place(&self, found: Option<Loaded>, shape: &Shape, trainable: bool) -> Result<Param> {
        let dense = match found {
            // Products with blocks of a few bits are made on the CPU alone.
            Some(Loaded::Quantized(tensor)) if !trainable && shape.rank() == 2 && self.device.is_cpu() => {
                return Ok(Param::Quantized(QuantizedMatrix::new(tensor)?));
            }
            Some(Loaded::Quantized(tensor)) => tensor.dequantize(&self.device)?,
            Some(Loaded::Dense(tensor)) => tensor.to_device(&self.device)?,
            None => {
                let zero = Tensor::zeros((), DType::F32, &self.device)?;
                return Ok(Param::Fixed(zero.broadcast_as(shape)?));
            }
        };
        let dense = dense.to_dtype(DType::F32)?;
        if trainable {
            Ok(Param::Trained(Var::from_tensor(&dense)?))
        } else {
            Ok(Param::Fixed(dense))
        }
    }
}

/// What was found, if it has the right shape; otherwise a line in the report.
fn accept(found: Option<Loaded>, name: String, shape: &Shape, report: &mut LoadReport) -> Option<Loaded> {
    let dims = match &found {
        None => {
            report.missing.push(name);
            return None;
        }
        Some(Loaded::Dense(tensor)) => tensor.dims().to_vec(),
        Some(Loaded::Quantized(tensor)) => tensor.shape().dims().to_vec(),
    };
    if dims == shape.dims() {
        return found;
    }
    report.mismatched.push((name, shape.dims().to_vec(), dims));
    None
}

fn draw(noise: Noise, name: &str, count: usize, init: Init) -> Vec<f32> {
    match init {
        Init::Const(value) => vec![value as f32; count],
        Init::Normal(deviation) | Init::Residual(deviation) => {
            let mut stream = noise.stream(Purpose::Init, fnv1a(name), 0);
            let normal = || -> f64 { StandardNormal.sample(&mut stream) };
            std::iter::repeat_with(normal)
                .take(count)
                .map(|draw| (deviation * draw) as f32)
                .collect()
        }
    }
}

/// The 64-bit FNV-1a hash: fixed for ever, unlike the standard library's hasher.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
