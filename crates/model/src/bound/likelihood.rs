//! How likely a network finds a text, token by token.

use candle_core::DType;
use drdiff_diffusion::Levels;
use drdiff_noise::Noise;

use super::Layouts;
use crate::{Network, NoisedBatch, Result, TrainableNetwork, next_token_nats};

/// `-ln p` of each token from position `from` on, in nats, each given all before it: the text is read as blocks of one token, where
/// the bound of diffusion is the likelihood itself. One pass over `ids`, which should not be longer than the context that the
/// network learned with; routed experts run in full. Networks that predict next tokens ([`crate::ModelConfig::next_token`])
/// say it of themselves, of all tokens but the first.
///
/// # Errors
/// If `ids` holds nothing from `from` on or what is no token, or an operation fails.
pub fn likelihood(network: &Network, ids: &[u32], from: usize) -> Result<Vec<f64>> {
    let (config, len) = (network.config(), ids.len());
    if config.next_token {
        return next_token_nats(network, ids, from);
    }
    let open = |position: usize| position >= from;
    let levels = Levels {
        snr: (0..len).map(|i| if open(i) { 0.0 } else { f32::INFINITY }).collect(),
        weight: (0..len).map(|i| f32::from(open(i))).collect(),
    };
    // No position is soft, so no noise is drawn.
    let corrupted = NoisedBatch::new(ids, &levels, 1, (config.vocab, config.embed), (Noise::new(0, 0), 0));
    let corrupted = corrupted.in_blocks(&levels, 1, config.routing.budget.max);
    let layouts = Layouts::new(config, len, network.device())?;
    let nats = network
        .loss(&corrupted, &layouts.of(&corrupted, 1)?, false, None, None)?
        .nats;
    Ok(nats.to_dtype(DType::F64)?.to_vec1()?)
}
