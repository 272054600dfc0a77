//! Comparing what runs wrote.
#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use drdiff_kernels::Loaded;
use drdiff_training::{MODEL_FILE, TRAINING_FILE};

/// Every number of a file, bit for bit.
pub(crate) fn bits(path: &Path) -> BTreeMap<String, Vec<u32>> {
    let numbers = |tensor: &Tensor| -> Vec<u32> {
        let numbers = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        numbers.into_iter().map(f32::to_bits).collect()
    };
    let checkpoint = drdiff_model::load_checkpoint(path, &Device::Cpu).unwrap();
    let tensors = checkpoint.tensors.into_iter().map(|(name, loaded)| match loaded {
        Loaded::Dense(tensor) => (name, numbers(&tensor)),
        Loaded::Quantized(_) => unreachable!("checkpoints are dense"),
    });
    tensors.collect()
}

/// Asserts that two runs are in the same state.
pub(crate) fn assert_same(left: &Path, right: &Path) {
    for file in [MODEL_FILE, TRAINING_FILE] {
        assert!(bits(&left.join(file)) == bits(&right.join(file)), "{file} differs");
    }
}
