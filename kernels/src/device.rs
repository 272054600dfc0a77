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
    match kind {
        DeviceKind::Cpu => Ok(Device::Cpu),
        DeviceKind::Cuda(_) if !candle_core::utils::cuda_is_available() => Err(Error::NoCudaBuild),
        DeviceKind::Cuda(ordinal) => Device::new_cuda(ordinal).map_err(|error| Error::NoGpu {
            ordinal,
            cause: error.to_string().lines().next().unwrap_or("no answer").to_owned(),
        }),
    }
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
