//! Reverse-mode differentiation of what flows through the network.
//!
//! candle's own backward pass adds every gradient to a fresh tensor of zeros, pads the gradient of a view to the whole
//! tensor, and keeps every activation to the end: more than half of a training step's time on a GPU. A [`Tape`] puts
//! the first gradient of a value in its place, adds only where paths meet, and frees activations as it walks back.
//! Layers are written once, over [`Value`]s: without a tape they only compute.

mod attention;
mod bridge;
mod head;
mod maps;
mod norms;
mod ops;

pub use attention::{HeadNorms, SelfAttend};

use crate::{Error, Result};
use candle_core::{Tensor, TensorId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Gradients of a record's outputs to gradients of its inputs, each absent if nothing depends on it.
type Backward = Box<dyn FnOnce(Vec<Option<Tensor>>) -> Result<Vec<Option<Tensor>>>>;

/// One operation that was recorded.
struct Record {
    inputs: Vec<Origin>,
    outputs: Range<usize>,
    backward: Backward,
}

/// Where a value's gradient goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    /// Nowhere.
    Constant,
    /// To the operation that made it.
    Slot(usize),
    /// To a learned parameter.
    Parameter(TensorId),
}

#[derive(Default)]
struct Recording {
    records: Vec<Record>,
    slots: usize,
    stop: Option<Arc<AtomicBool>>,
}

impl Recording {
    /// Fails if the pass is to end.
    fn proceed(&self) -> Result<()> {
        match &self.stop {
            Some(stop) if stop.load(Ordering::Relaxed) => Err(Error::Stopped),
            _ => Ok(()),
        }
    }
}

/// The operations of one forward pass, in order; clones share it.
#[derive(Clone, Default)]
pub struct Tape(Rc<RefCell<Recording>>);

/// A tensor on its way through the network and, while learning, its place on a tape.
#[derive(Clone)]
pub struct Value {
    tensor: Tensor,
    tape: Option<Tape>,
    origin: Origin,
}

/// Gradients of the learned parameters of one or more passes, each in the dtype that it was computed in.
#[derive(Debug, Default)]
pub struct Gradients(HashMap<TensorId, Tensor>);

impl Tape {
    /// An empty tape.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty tape whose pass fails with [`Error::Stopped`] soon after `stop` is set: between the halves of its layers, and
    /// between the operations on the way back. A long pass can so be given up, and nothing was learned from it.
    #[must_use]
    pub fn until(stop: Arc<AtomicBool>) -> Self {
        let recording = Recording {
            stop: Some(stop),
            ..Recording::default()
        };
        Self(Rc::new(RefCell::new(recording)))
    }

    /// A value that needs no gradient itself; what is computed from it is recorded.
    #[must_use]
    pub fn constant(&self, tensor: &Tensor) -> Value {
        Value {
            tensor: tensor.detach(),
            tape: Some(self.clone()),
            origin: Origin::Constant,
        }
    }

    /// Gradients of a scalar with respect to all parameters that it depends on. The tape is empty afterwards.
    ///
    /// # Errors
    /// If an operation fails, or the pass is to end.
    pub fn backward(&self, loss: &Value) -> Result<Gradients> {
        let mut recording = self.0.borrow_mut();
        let (records, slots) = (
            std::mem::take(&mut recording.records),
            std::mem::take(&mut recording.slots),
        );
        drop(recording);
        let mut pending: Vec<Option<Tensor>> = vec![None; slots];
        let mut gradients = Gradients::default();
        if let Origin::Slot(slot) = loss.origin {
            pending[slot] = Some(loss.tensor.ones_like()?);
        }
        for record in records.into_iter().rev() {
            self.0.borrow().proceed()?;
            let upstream: Vec<_> = pending[record.outputs].iter_mut().map(Option::take).collect();
            if upstream.iter().all(Option::is_none) {
                continue;
            }
            for (origin, gradient) in record.inputs.into_iter().zip((record.backward)(upstream)?) {
                match (origin, gradient) {
                    (Origin::Slot(slot), Some(gradient)) => add_to(&mut pending[slot], gradient)?,
                    (Origin::Parameter(id), Some(gradient)) => gradients.add(id, gradient)?,
                    _ => {}
                }
            }
        }
        Ok(gradients)
    }
}

fn add_to(sum: &mut Option<Tensor>, gradient: Tensor) -> Result<()> {
    *sum = Some(match sum.take() {
        Some(earlier) => crate::ops::add(&earlier, &gradient)?,
        None => gradient,
    });
    Ok(())
}

impl Gradients {
    /// The gradient of a parameter, if there is one.
    #[must_use]
    pub fn get(&self, parameter: &Tensor) -> Option<&Tensor> {
        self.0.get(&parameter.id())
    }

    /// Takes the gradient of a parameter out, if there is one.
    pub fn remove(&mut self, parameter: &Tensor) -> Option<Tensor> {
        self.0.remove(&parameter.id())
    }

    /// Adds the gradients of another pass.
    ///
    /// # Errors
    /// If an operation fails.
    pub fn extend(&mut self, other: Self) -> Result<()> {
        other
            .0
            .into_iter()
            .try_for_each(|(id, gradient)| self.add(id, gradient))
    }

    /// Multiplies every gradient by `factor`.
    ///
    /// # Errors
    /// If an operation fails.
    pub fn scale(&mut self, factor: f64) -> Result<()> {
        if factor != 1.0 {
            for gradient in self.0.values_mut() {
                *gradient = gradient.affine(factor, 0.0)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, id: TensorId, gradient: Tensor) -> Result<()> {
        let mut sum = self.0.remove(&id);
        add_to(&mut sum, gradient)?;
        self.0.extend(sum.map(|sum| (id, sum)));
        Ok(())
    }
}

impl Value {
    /// A value off any tape: nothing that is computed from it alone is recorded.
    #[must_use]
    pub fn constant(tensor: &Tensor) -> Self {
        Self {
            tensor: tensor.detach(),
            tape: None,
            origin: Origin::Constant,
        }
    }

    /// A parameter of a layer: learned if it is a variable, else a constant.
    #[must_use]
    pub fn parameter(tensor: &Tensor) -> Self {
        let origin = if tensor.is_variable() {
            Origin::Parameter(tensor.id())
        } else {
            Origin::Constant
        };
        Self {
            origin,
            ..Self::constant(tensor)
        }
    }

    /// The number itself, outside any graph.
    #[must_use]
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Whether operations on this value are recorded.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.tape.is_some()
    }

    /// Fails with [`Error::Stopped`] if the tape of this value is to end (see [`Tape::until`]).
    ///
    /// # Errors
    /// Then only.
    pub fn proceed(&self) -> Result<()> {
        self.tape.as_ref().map_or(Ok(()), |tape| tape.0.borrow().proceed())
    }

    /// Enters the result of an operation: `backward` turns the gradients of `outputs` into those of `inputs`, in
    /// order, and gives `None` where an input has none. Without a tape among the inputs nothing is kept.
    pub fn record<const N: usize>(
        inputs: &[&Self],
        outputs: [Tensor; N],
        backward: impl FnOnce([Option<Tensor>; N]) -> Result<Vec<Option<Tensor>>> + 'static,
    ) -> [Self; N] {
        let tape = inputs.iter().find_map(|input| input.tape.clone());
        let learns = inputs.iter().any(|input| input.origin != Origin::Constant);
        let mut first = None;
        if let (Some(tape), true) = (&tape, learns) {
            let mut recording = tape.0.borrow_mut();
            let outputs = recording.slots..recording.slots + N;
            first = Some(outputs.start);
            recording.slots = outputs.end;
            recording.records.push(Record {
                inputs: inputs.iter().map(|input| input.origin).collect(),
                outputs,
                backward: Box::new(|upstream| match upstream.try_into() {
                    Ok(upstream) => backward(upstream),
                    Err(_) => unreachable!("a record has as many gradients as outputs"),
                }),
            });
        }
        let mut index = 0;
        outputs.map(|tensor| {
            let origin = first.map_or(Origin::Constant, |first| Origin::Slot(first + index));
            index += 1;
            Self {
                tensor: tensor.detach(),
                tape: tape.clone(),
                origin,
            }
        })
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value")
            .field("tensor", &self.tensor)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}
