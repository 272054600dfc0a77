//! One operation on both devices from the same numbers.

use candle_core::{DType, Device, Result, Tensor, Var};
use drdiff_kernels::{DeviceKind, Tape, Value, device};
use drdiff_testkit::{Inputs, relative_rms, tensor, values};
use std::sync::OnceLock;

pub(crate) const DTYPES: [DType; 2] = [DType::F32, DType::BF16];

/// The first GPU. Freed memory is full of NaN at first, so that what a kernel forgets to write shows.
pub(crate) fn gpu() -> Device {
    static GPU: OnceLock<Device> = OnceLock::new();
    let open = || {
        let gpu = device(DeviceKind::Cuda(0)).unwrap();
        let poison = |count: usize| Tensor::full(f32::NAN, count, &gpu).unwrap();
        drop([1 << 10, 1 << 14, 1 << 18, 1 << 22].map(poison));
        gpu
    };
    GPU.get_or_init(open).clone()
}

/// Sums are made in f32 in another order, and fast exponentials are good to a few units in the last place; results in
/// bf16 carry its rounding (2^-9 relative) of each output and of the weights inside attention.
pub(crate) fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::BF16 { 1e-2 } else { 2e-5 }
}

/// An f32 CPU tensor that bf16 holds exactly.
pub(crate) fn numbers(inputs: &mut Inputs, shape: &[usize]) -> Result<Tensor> {
    tensor(&inputs.numbers(shape.iter().product()), shape)?
        .to_dtype(DType::BF16)?
        .to_dtype(DType::F32)
}

pub(crate) fn on_cpu(x: &Tensor) -> Result<Vec<f64>> {
    values(&x.detach().to_device(&Device::Cpu)?.to_dtype(DType::F32)?)
}

/// Runs `op` in f32 on the CPU and in `dtype` on the GPU and compares its result and the gradients of all inputs.
///
/// `activations` become `dtype` on the GPU, `parameters` stay f32; `op` gets them in this order.
pub(crate) fn compare(
    what: &str,
    dtype: DType,
    activations: &[Tensor],
    parameters: &[Tensor],
    op: impl Fn(&[Var]) -> Tensor,
) -> Result<()> {
    compare_runs(what, dtype, |device, dtype| {
        let place = |x: &Tensor, dtype| Var::from_tensor(&x.to_device(device)?.to_dtype(dtype)?);
        let activations = activations.iter().map(|x| place(x, dtype));
        let vars: Vec<Var> = activations
            .chain(parameters.iter().map(|x| place(x, DType::F32)))
            .collect::<Result<_>>()?;
        let out = op(&vars);
        let weights = numbers(&mut Inputs::new(77), out.dims())?
            .to_device(device)?
            .to_dtype(out.dtype())?;
        let grads = (&out * weights)?.to_dtype(DType::F32)?.sum_all()?.backward()?;
        let of = |var: &Var| on_cpu(grads.get(var).unwrap());
        std::iter::once(on_cpu(&out)).chain(vars.iter().map(of)).collect()
    })
}

/// Compares what `op` gives for values (`activations`, of `dtype` on the GPU) and parameters (f32), and all gradients.
pub(crate) fn compare_taped(
    what: &str,
    dtype: DType,
    activations: &[Tensor],
    parameters: &[Tensor],
    op: impl Fn(&[Value], &[Tensor]) -> drdiff_kernels::Result<Value>,
) -> Result<()> {
    compare_runs(what, dtype, |device: &Device, dtype: DType| {
        let place = |x: &Tensor, dtype| Var::from_tensor(&x.to_device(device)?.to_dtype(dtype)?);
        let activations = activations
            .iter()
            .map(|x| place(x, dtype))
            .collect::<Result<Vec<_>>>()?;
        let parameters = parameters
            .iter()
            .map(|x| place(x, DType::F32))
            .collect::<Result<Vec<_>>>()?;
        let tensors = |vars: &[Var]| vars.iter().map(|var| var.as_tensor().clone()).collect::<Vec<_>>();
        let tape = Tape::new();
        let values: Vec<Value> = tensors(&activations).iter().map(|x| tape.enter(x)).collect();
        let out = op(&values, &tensors(&parameters)).unwrap();
        let weights = numbers(&mut Inputs::new(77), out.tensor().dims())?
            .to_device(device)?
            .to_dtype(out.tensor().dtype())?;
        let loss = out
            .through(|y| Ok((y * &weights)?.to_dtype(DType::F32)?.sum_all()?))
            .unwrap();
        let grads = tape.backward(&loss).unwrap();
        let of = |var: &Var| on_cpu(grads.get(var.as_tensor()).unwrap());
        std::iter::once(on_cpu(out.tensor()))
            .chain(activations.iter().chain(&parameters).map(of))
            .collect()
    })
}

/// Runs on the CPU in f32 and on the GPU in `dtype`, and compares the result and the gradients that it gives.
pub(crate) fn compare_runs(
    what: &str,
    dtype: DType,
    run: impl Fn(&Device, DType) -> Result<Vec<Vec<f64>>>,
) -> Result<()> {
    let want = run(&Device::Cpu, DType::F32)?;
    let got = run(&gpu(), dtype)?;
    for (index, (got, want)) in got.iter().zip(&want).enumerate() {
        let what = format!(
            "{what} {dtype:?} {}",
            if index == 0 {
                "result".to_owned()
            } else {
                format!("gradient {index}")
            }
        );
        let error = if want.iter().all(|&x| x.abs() < 1e-6) {
            got.iter().fold(0.0, |most: f64, x| most.max(x.abs()))
        } else {
            relative_rms(&what, got, want)
        };
        assert!(error <= tolerance(dtype), "{what}: error {error:.3e}");
    }
    assert_eq!(got, run(&gpu(), dtype)?, "{what}: two runs differ");
    Ok(())
}
