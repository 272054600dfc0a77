//! The optimiser's step and the norm of its gradients, over all parameters in one launch each.

use super::launch::{Module, launch, module, shape};
use super::operand::{Output, contiguous, device};
use crate::optim::{AdamWSlot, AdamWStep};
use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr, DeviceRepr};
use candle_core::{DType, Result, Tensor, bail};

const ADAMW: Module = module!("adamw");
const BLOCK: usize = 256;
/// Elements of a block, as in `cu/adamw.cu`.
const PART: usize = BLOCK * 8 * 2;

/// `Step` of `cu/adamw.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Step {
    beta1: f32,
    beta2: f32,
    eps: f32,
    lr: f32,
    rate: f32,
    keep: f32,
    root: f32,
    ema: f32,
}
// SAFETY: plain numbers in C's layout.
unsafe impl DeviceRepr for Step {}

/// `Slot` of `cu/adamw.cu`; addresses that a kernel does not use are 0.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Slot {
    param: u64,
    grad: u64,
    first: u64,
    second: u64,
    average: u64,
    count: i64,
    block: i32,
    flags: u32,
}
// SAFETY: plain numbers in C's layout.
unsafe impl DeviceRepr for Slot {}

impl Slot {
    const BF16_GRAD: u32 = 1;
    const DECAYS: u32 = 2;
    const ALIGNED: u32 = 4;

    /// With the gradient alone.
    fn new(grad: &Tensor) -> Result<Self> {
        Ok(Self {
            grad: contiguous(grad, grad.dtype())?,
            count: grad.elem_count() as i64,
            flags: match grad.dtype() {
                DType::F32 => 0,
                DType::BF16 => Self::BF16_GRAD,
                other => bail!("the optimiser takes gradients in f32 and bf16, not {other:?}"),
            },
            ..Self::default()
        })
    }
}

/// The slots on the GPU, each with its share of the blocks, and the number of blocks.
fn upload(device: &CudaDevice, mut slots: Vec<Slot>) -> Result<(CudaSlice<Slot>, usize)> {
    slots.retain(|slot| slot.count > 0);
    let mut blocks = 0;
    for slot in &mut slots {
        slot.block = blocks as i32;
        blocks += (slot.count as usize).div_ceil(PART);
        let addresses = slot.param | slot.grad | slot.first | slot.second | slot.average;
        if addresses.is_multiple_of(16) {
            slot.flags |= Slot::ALIGNED;
        }
    }
    if slots.is_empty() {
        slots.push(Slot::default());
    }
    Ok((device.clone_htod(&slots)?, blocks))
}

/// One step, in place on all tensors of the slots but the gradients: contiguous, f32, and of one shape in each slot.
pub(crate) fn step(slots: &[AdamWSlot<'_>], step: &AdamWStep, clip_scale: &Tensor) -> Result<()> {
    let grads: Vec<Tensor> = slots.iter().map(|slot| slot.grad.contiguous()).collect::<Result<_>>()?;
    let table = slots.iter().zip(&grads).map(|(slot, grad)| {
        let mut entry = Slot::new(grad)?;
        entry.param = contiguous(slot.param, DType::F32)?;
        if let Some(moments) = slot.moments {
            entry.first = contiguous(moments.first, DType::F32)?;
            entry.second = contiguous(moments.second, DType::F32)?;
        }
        if let Some(average) = slot.average {
            entry.average = contiguous(average, DType::F32)?;
        }
        if slot.decays {
            entry.flags |= Slot::DECAYS;
        }
        Ok(entry)
    });
    let device = device(clip_scale)?;
    let (table, blocks) = upload(device, table.collect::<Result<_>>()?)?;
    if blocks == 0 {
        return Ok(());
    }
    let numbers = Step {
        beta1: step.beta1 as f32,
        beta2: step.beta2 as f32,
        eps: step.eps as f32,
        lr: step.lr as f32,
        rate: (step.lr / step.bias1) as f32,
        keep: (1.0 - step.lr * step.weight_decay) as f32,
        root: (1.0 / step.bias2).sqrt() as f32,
        ema: step.ema_decay as f32,
    };
    launch!(
        ADAMW,
        device,
        "adamw",
        shape((blocks, 1, 1), (BLOCK, 1), 0),
        table.device_ptr(&device.cuda_stream()).0,
        table.len() as i32,
        contiguous(clip_scale, DType::F32)?,
        numbers,
    );
    Ok(())
}

/// The root of the sum of the squares of all elements, an f32 scalar; the order of the sum is fixed.
pub(crate) fn norm(grads: &[Tensor]) -> Result<Tensor> {
    let Some(first) = grads.first() else {
        bail!("the norm of no gradients")
    };
    let device = device(first)?;
    let grads: Vec<Tensor> = grads.iter().map(Tensor::contiguous).collect::<Result<_>>()?;
    let (table, blocks) = upload(device, grads.iter().map(Slot::new).collect::<Result<_>>()?)?;
    let partial = Output::new(device, blocks, DType::F32)?;
    if blocks > 0 {
        launch!(
            ADAMW,
            device,
            "squares",
            shape((blocks, 1, 1), (BLOCK, 1), 0),
            table.device_ptr(&device.cuda_stream()).0,
            table.len() as i32,
            partial.address,
        );
    }
    let out = Output::new(device, (), DType::F32)?;
    launch!(
        ADAMW,
        device,
        "root_of_sum",
        shape((1, 1, 1), (BLOCK, 1), 0),
        partial.address,
        out.address,
        blocks as i32,
    );
    Ok(out.into_tensor())
}
