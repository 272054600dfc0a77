//! The RMS norm of a stream, or of its sum with a gated branch, scaled and shifted row by row.

use super::launch::{Module, launch, module};
use super::operand::{Output, contiguous, device};
use super::reduce::column_sums;
use super::rms_norm::Rows;
use crate::ops::ModulatedGradients;
use candle_core::{DType, Result, Tensor};

const MODULATED_NORM: Module = module!("modulated_norm");

/// The tensors that both passes read, contiguous.
struct Operands {
    x: Tensor,
    added: Option<[Tensor; 2]>,
    gain: Tensor,
    modulation: Tensor,
}

impl Operands {
    fn new(x: &Tensor, added: Option<[&Tensor; 2]>, gain: &Tensor, modulation: &Tensor) -> Result<Self> {
        let added = match added {
            Some([delta, gate]) => Some([delta.contiguous()?, gate.contiguous()?]),
            None => None,
        };
        Ok(Self {
            x: x.contiguous()?,
            added,
            gain: gain.contiguous()?,
            modulation: modulation.contiguous()?,
        })
    }

    /// Addresses of x, the branch and its gate (0 if absent), the gain and the modulation.
    fn addresses(&self) -> Result<[u64; 5]> {
        let dtype = self.x.dtype();
        let [delta, gate] = match &self.added {
            Some([delta, gate]) => [contiguous(delta, dtype)?, contiguous(gate, dtype)?],
            None => [0, 0],
        };
        let (x, modulation) = (contiguous(&self.x, dtype)?, contiguous(&self.modulation, dtype)?);
        Ok([x, delta, gate, contiguous(&self.gain, DType::F32)?, modulation])
    }
}

fn aligned(addresses: &[u64]) -> bool {
    addresses.iter().all(|address| address.is_multiple_of(16))
}

/// The sum of the stream and the gated branch (the stream itself without one) and its modulated norm.
/// `added` is the branch and its gate; all `[.., d]` but `gain: [d]` f32 and `modulation: [.., 2 d]`.
pub(crate) fn forward(
    x: &Tensor,
    added: Option<[&Tensor; 2]>,
    gain: &Tensor,
    modulation: &Tensor,
    eps: f32,
) -> Result<(Tensor, Tensor)> {
    let operands = Operands::new(x, added, gain, modulation)?;
    let (device, rows) = (device(x)?, Rows::of(x.dims()));
    if rows.is_empty() {
        return Ok((x.clone(), x.zeros_like()?));
    }
    let sum = added
        .map(|_| Output::new(device, x.shape().clone(), x.dtype()))
        .transpose()?;
    let normed = Output::new(device, x.shape().clone(), x.dtype())?;
    let addresses = operands.addresses()?;
    let [x_at, delta_at, gate_at, gain_at, modulation_at] = addresses;
    let name = rows.kernel("modulated_norm_forward", x.dtype(), aligned(&addresses))?;
    launch!(
        MODULATED_NORM,
        device,
        &name,
        rows.forward_shape(),
        x_at,
        delta_at,
        gate_at,
        gain_at,
        modulation_at,
        sum.as_ref().map_or(0, |sum| sum.address),
        normed.address,
        rows.count as i32,
        rows.width as i32,
        eps
    );
    Ok((sum.map_or_else(|| x.clone(), Output::into_tensor), normed.into_tensor()))
}

/// The gradients of all inputs, given the `sum` of the forward pass, the gradient of it past the norm if there is one,
/// and that of the norm.
pub(crate) fn backward(
    sum: &Tensor,
    added: Option<[&Tensor; 2]>,
    gain: &Tensor,
    modulation: &Tensor,
    dsum: Option<&Tensor>,
    dnormed: &Tensor,
    eps: f32,
) -> Result<ModulatedGradients> {
    let operands = Operands::new(sum, added, gain, modulation)?;
    let (dsum, dnormed) = (dsum.map(Tensor::contiguous).transpose()?, dnormed.contiguous()?);
    let (device, dtype, rows) = (device(sum)?, sum.dtype(), Rows::of(sum.dims()));
    if rows.is_empty() {
        return Ok(ModulatedGradients {
            x: sum.zeros_like()?,
            added: added
                .map(|_| Ok::<_, candle_core::Error>([sum.zeros_like()?, sum.zeros_like()?]))
                .transpose()?,
            gain: gain.zeros_like()?,
            modulation: modulation.zeros_like()?,
        });
    }
    let grid = rows.backward_shape(rows.width);
    let output = || Output::new(device, sum.shape().clone(), dtype);
    let dx = output()?;
    let dadded = match added {
        Some(_) => Some([output()?, output()?]),
        None => None,
    };
    let dmodulation = Output::new(device, modulation.shape().clone(), dtype)?;
    let partial = Output::new(device, (grid.grid_dim.0 as usize, rows.width), DType::F32)?;
    let addresses = operands.addresses()?;
    let [x_at, delta_at, gate_at, gain_at, modulation_at] = addresses;
    let dsum_at = dsum.as_ref().map_or(Ok(0), |dsum| contiguous(dsum, dtype))?;
    let dy_at = contiguous(&dnormed, dtype)?;
    let readable = aligned(&addresses) && aligned(&[dsum_at, dy_at]);
    let name = rows.kernel("modulated_norm_backward", dtype, readable)?;
    let [ddelta_at, dgate_at] = dadded
        .as_ref()
        .map_or([0, 0], |[delta, gate]| [delta.address, gate.address]);
    launch!(
        MODULATED_NORM,
        device,
        &name,
        grid,
        x_at,
        delta_at,
        gate_at,
        gain_at,
        modulation_at,
        dsum_at,
        dy_at,
        dx.address,
        ddelta_at,
        dgate_at,
        dmodulation.address,
        partial.address,
        rows.count as i32,
        rows.width as i32,
        eps
    );
    Ok(ModulatedGradients {
        x: dx.into_tensor(),
        added: dadded.map(|added| added.map(Output::into_tensor)),
        gain: column_sums(&partial.into_tensor())?,
        modulation: dmodulation.into_tensor(),
    })
}
