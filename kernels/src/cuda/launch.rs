//! Loading kernels and launching them.

use candle_core::Result;
use candle_core::cuda_backend::cudarc::driver::{CudaFunction, LaunchConfig, sys::CUfunction_attribute_enum};
use candle_core::cuda_backend::{CudaDevice, WrapErr};

/// Shared memory that a block may use without asking.
const FREE_SHARED: u32 = 48 << 10;

/// The compiled form of one file of `cu/`.
pub(super) struct Module {
    pub(super) name: &'static str,
    pub(super) ptx: &'static str,
}

/// The module of `cu/<name>.cu`.
macro_rules! module {
    ($name:literal) => {
        $crate::cuda::launch::Module {
            name: concat!("drdiff_", $name),
            ptx: include_str!(concat!(env!("OUT_DIR"), "/", $name, ".ptx")),
        }
    };
}

impl Module {
    pub(super) fn function(&self, device: &CudaDevice, name: &str, shared: u32) -> Result<CudaFunction> {
        let function = device
            .get_or_load_custom_func(name, self.name, self.ptx)?
            .into_cuda_function();
        if shared > FREE_SHARED {
            let attribute = CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(attribute, shared as i32).w()?;
        }
        Ok(function)
    }
}

/// Blocks, threads and dynamic shared memory of a launch.
pub(super) fn shape(grid: (usize, usize, usize), block: (usize, usize), shared: usize) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (grid.0 as u32, grid.1 as u32, grid.2 as u32),
        block_dim: (block.0 as u32, block.1 as u32, 1),
        shared_mem_bytes: shared as u32,
    }
}

/// Enough blocks of `block` threads for `count` items, but no more than keep a large GPU busy.
pub(super) fn blocks(count: usize, block: usize) -> usize {
    count.div_ceil(block).clamp(1, 132 * 16)
}

/// `launch!(module, device, name, launch shape, arguments..)`, on the device's stream.
///
/// Safe where the arguments are of the kernel's types in the kernel's order and every address is of a live tensor of
/// the size that the kernel takes from the other arguments; tensors are freed in stream order, so living until the
/// launch is enough.
macro_rules! launch {
    ($module:expr, $device:expr, $name:expr, $shape:expr, $($argument:expr),+ $(,)?) => {{
        use candle_core::cuda_backend::cudarc::driver::PushKernelArg;
        use candle_core::cuda_backend::WrapErr;
        let shape = $shape;
        let function = $module.function($device, $name, shape.shared_mem_bytes)?;
        let stream = $device.cuda_stream();
        let mut builder = stream.launch_builder(&function);
        candle_core::builder_arg!(builder, $($argument),+);
        // SAFETY: the calling function upholds what the macro asks for.
        unsafe { builder.launch(shape) }.w()?;
    }};
}

pub(super) use {launch, module};
