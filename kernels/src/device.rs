//! Choosing the device, with an answer when there is none.

use crate::{Error, Result};
use candle_core::Device;

/// Where tensors live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceKind {
    /// The processor.
    #[default]
    Cpu,
    /// The GPU with this number.
    Cuda(usize),
}

/// Opens a device.
///
/// # Errors
/// [`Error::NoCudaBuild`] if the program was built without CUDA, [`Error::NoGpu`] if the GPU cannot be opened.
pub fn device(kind: DeviceKind) -> Result<Device> {
    let ordinal = match kind {
        DeviceKind::Cpu => return Ok(Device::Cpu),
        DeviceKind::Cuda(_) if !candle_core::utils::cuda_is_available() => return Err(Error::NoCudaBuild),
        DeviceKind::Cuda(ordinal) => ordinal,
    };
    Device::new_cuda(ordinal)
        .and_then(prepare)
        .map_err(|error| Error::NoGpu {
            ordinal,
            cause: error.to_string().lines().next().unwrap_or("no answer").to_owned(),
        })
}

fn prepare(device: Device) -> candle_core::Result<Device> {
    #[cfg(feature = "cuda")]
    crate::cuda::memory::keep(device.as_cuda_device()?)?;
    Ok(device)
}

/// The most device memory in use at one time since [`reset_peak_memory`], in bytes; `None` for a CPU.
///
/// # Errors
/// If the driver does not answer.
pub fn peak_memory(device: &Device) -> Result<Option<u64>> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        return Ok(Some(crate::cuda::memory::peak(device)?));
    }
    let _ = device;
    Ok(None)
}

/// Starts a new count for [`peak_memory`].
///
/// # Errors
/// If the driver does not answer.
pub fn reset_peak_memory(device: &Device) -> Result<()> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        crate::cuda::memory::reset_peak(device)?;
    }
    let _ = device;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_is_always_there() {
        assert!(device(DeviceKind::Cpu).is_ok());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_says_so() {
        assert!(matches!(device(DeviceKind::Cuda(0)), Err(Error::NoCudaBuild)));
    }
}
