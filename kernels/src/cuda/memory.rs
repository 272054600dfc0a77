//! The device's memory pool: what it keeps between synchronisations, and the most that was ever in use.

use candle_core::cuda_backend::cudarc::driver::{DriverError, sys};
use candle_core::cuda_backend::{CudaDevice, WrapErr};
use candle_core::{Result, bail};
use std::ffi::c_void;

use sys::CUmemPool_attribute_enum::{CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, CU_MEMPOOL_ATTR_USED_MEM_HIGH};

fn pool(device: &CudaDevice) -> Result<sys::CUmemoryPool> {
    let mut pool = std::ptr::null_mut();
    // SAFETY: the pointer is written to, and the device is open.
    let code = unsafe { sys::cuDeviceGetDefaultMemPool(&raw mut pool, device.cuda_stream().context().cu_device()) };
    check(code)?;
    Ok(pool)
}

fn check(code: sys::CUresult) -> Result<()> {
    match code {
        sys::CUresult::CUDA_SUCCESS => Ok(()),
        code => Err(DriverError(code)).w(),
    }
}

fn set(device: &CudaDevice, attribute: sys::CUmemPool_attribute, mut value: u64) -> Result<()> {
    let pool = pool(device)?;
    // SAFETY: both attributes of this module are 64-bit numbers, which the driver reads during the call.
    check(unsafe { sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut value).cast::<c_void>()) })
}

/// Lets the pool keep what is freed. By default every synchronisation gives it back to the driver, and the next step
/// pays for mapping it again.
pub(crate) fn keep(device: &CudaDevice) -> Result<()> {
    set(device, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, u64::MAX)
}

/// Starts a new count for [`peak`].
pub(crate) fn reset_peak(device: &CudaDevice) -> Result<()> {
    set(device, CU_MEMPOOL_ATTR_USED_MEM_HIGH, 0)
}

/// The most bytes in use at one time since the last reset.
pub(crate) fn peak(device: &CudaDevice) -> Result<u64> {
    let mut value = u64::MAX;
    let pool = pool(device)?;
    // SAFETY: the attribute is a 64-bit number, which the driver writes during the call.
    check(unsafe {
        sys::cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH, (&raw mut value).cast::<c_void>())
    })?;
    if value == u64::MAX {
        bail!("the driver did not say how much memory was used");
    }
    Ok(value)
}
