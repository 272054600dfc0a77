//! From a checkpoint to a network: strict, with one report of everything that does not fit.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use drdiff_kernels::{Builder, LoadReport, Loaded, Params, Source};

use crate::{Checkpoint, Error, Metadata, ModelConfig, Network, Result};

/// What the loaded network is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loading {
    /// Generation: parameters are fixed and tables that depend on them alone are computed once.
    Inference,
    /// Training goes on: parameters are f32 variables.
    Training,
}

/// Builds the network that a checkpoint describes. Computes in bf16 on a GPU and in f32 on a CPU.
///
/// # Errors
/// If a tensor is missing, unexpected or misshapen; the message names them all.
pub fn build(checkpoint: Checkpoint, device: &Device, loading: Loading) -> Result<(Network, Params)> {
    build_network(&checkpoint.metadata.config, checkpoint.tensors, device, loading)
}

/// [`build`] of a network of this shape out of these tensors.
///
/// # Errors
/// As there.
pub fn build_network(
    config: &ModelConfig,
    tensors: BTreeMap<String, Loaded>,
    device: &Device,
    loading: Loading,
) -> Result<(Network, Params)> {
    let dtype = if device.is_cuda() { DType::BF16 } else { DType::F32 };
    let (network, params) = assemble(config, tensors, (device, dtype), loading)?;
    let network = if loading == Loading::Inference {
        network.freeze()?.with_shortcut(&params)
    } else {
        network
    };
    Ok((network, params))
}

/// A network of this shape that computes in f32 on every device, for scoring texts.
///
/// # Errors
/// As [`build`].
pub fn build_scorer(config: &ModelConfig, tensors: BTreeMap<String, Loaded>, device: &Device) -> Result<Network> {
    assemble(config, tensors, (device, DType::F32), Loading::Inference)?
        .0
        .freeze()
}

/// Checks that tensors are those of the network that `metadata` describes, neither more nor fewer.
///
/// # Errors
/// As [`build`].
pub fn require_fit(metadata: &Metadata, tensors: &[(String, Tensor)]) -> Result<()> {
    let tensors = tensors.iter().cloned();
    let tensors = tensors.map(|(name, tensor)| (name, Loaded::Dense(tensor))).collect();
    let place = (&Device::Cpu, DType::F32);
    assemble(&metadata.config, tensors, place, Loading::Inference).map(|_| ())
}

fn assemble(
    config: &ModelConfig,
    tensors: BTreeMap<String, Loaded>,
    (device, dtype): (&Device, DType),
    loading: Loading,
) -> Result<(Network, Params)> {
    let source = Source::Loaded {
        tensors,
        trainable: loading == Loading::Training,
    };
    let builder = Builder::new(source, device);
    let network = Network::new(&builder, config, dtype)?;
    let (params, report) = builder.finish();
    if !report.fits() {
        return Err(Error::Mismatch(describe(&report)));
    }
    Ok((network, params))
}

fn describe(report: &LoadReport) -> String {
    const SHOWN: usize = 5;
    let list = |what: &str, names: Vec<String>| match names.len() {
        0 => None,
        n if n > SHOWN => Some(format!("{n} {what}, among them {}", names[..SHOWN].join(", "))),
        n => Some(format!("{n} {what}: {}", names.join(", "))),
    };
    let misshapen = report
        .mismatched
        .iter()
        .map(|(name, wanted, found)| format!("{name} (wants {wanted:?}, is {found:?})"))
        .collect();
    [
        list("missing", report.missing.clone()),
        list("unexpected", report.unexpected.clone()),
        list("misshapen", misshapen),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join("; ")
}
