//! Small expressions in candle's own operations, differentiated by candle: for what is not worth an operation here.

use super::{Tape, Value};
use crate::Result;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, Var};

impl Tape {
    /// A tensor that candle computed from parameters; its gradient flows on to them through candle's graph.
    #[must_use]
    pub fn enter(&self, tensor: &Tensor) -> Value {
        join(&self.constant(tensor), None, tensor)
    }
}

impl Value {
    /// A tensor that candle computed from parameters: on the tape if there is one, see [`Tape::enter`].
    #[must_use]
    pub fn entered(tape: Option<&Tape>, tensor: &Tensor) -> Self {
        tape.map_or_else(|| Self::constant(tensor), |tape| tape.enter(tensor))
    }

    /// `f` of this value and of any parameters that `f` reads, differentiated by candle.
    ///
    /// # Errors
    /// If `f` fails.
    pub fn through(&self, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Self> {
        if !self.is_recorded() {
            return Ok(Self::constant(&f(&self.tensor)?));
        }
        let input = Var::from_tensor(&self.tensor)?;
        let output = f(input.as_tensor())?;
        Ok(join(self, Some(input), &output))
    }
}

/// Records a candle graph as one operation of `input`, which it reads as `var`, and of its variables.
fn join(input: &Value, var: Option<Var>, output: &Tensor) -> Value {
    let own = var.map(|var| var.as_tensor().clone());
    let is_own = |node: &Tensor| own.as_ref().is_some_and(|own| own.id() == node.id());
    let parameters: Vec<Tensor> = output
        .sorted_nodes()
        .into_iter()
        .filter(|node| node.is_variable() && !is_own(node))
        .cloned()
        .collect();
    let values: Vec<Value> = parameters.iter().map(Value::parameter).collect();
    let inputs: Vec<&Value> = std::iter::once(input).chain(&values).collect();
    let graph = output.clone();
    let [value] = Value::record(&inputs, [output.clone()], move |[upstream]| {
        let Some(upstream) = upstream else {
            return Ok(Vec::new());
        };
        let mut store = graph.apply_op1(Inject(upstream))?.backward()?;
        let own = own.and_then(|own| store.remove(&own));
        let rest = parameters.iter().map(|parameter| store.remove(parameter));
        Ok(std::iter::once(own).chain(rest).collect())
    });
    value
}

/// A scalar whose gradient with respect to its input is given: the door into candle's backward pass.
struct Inject(Tensor);

impl CustomOp1 for Inject {
    fn name(&self) -> &'static str {
        "inject"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(())))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        storage: &candle_core::CudaStorage,
        _: &Layout,
    ) -> candle_core::Result<(candle_core::CudaStorage, Shape)> {
        use candle_core::DType;
        use candle_core::backend::{BackendDevice, BackendStorage};
        let shape = Shape::from(());
        Ok((storage.device().zeros_impl(&shape, DType::F32)?, shape))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(self.0.clone()))
    }
}
