//! How likely a network that predicts next tokens finds a text.

use candle_core::{DType, Tensor};

use crate::{CachePool, Error, Network, Result, TokenBatch};

/// Rows of logits that are made at once, so that a long text does not need the memory for all of them.
const ROWS: usize = 64;

/// `-ln p` of the tokens `ids[from..]` in nats, each given all before it, by a network whose rows of clean tokens predict the
/// next ones ([`crate::ModelConfig::next_token`]). One pass over `ids`.
///
/// # Errors
/// If `from` is 0, since nothing predicts the first token, `ids` ends before it, or an operation fails.
pub fn next_token_nats(network: &Network, ids: &[u32], from: usize) -> Result<Vec<f64>> {
    if from == 0 || from > ids.len() {
        let len = ids.len();
        return Err(Error::Config(format!(
            "tokens from {from} on of {len} cannot be predicted by the ones before them"
        )));
    }
    let Some((_, read)) = ids.split_last() else {
        return Ok(Vec::new());
    };
    let device = network.device();
    let plan = network.config().causal_plans(read.len(), device)?;
    let batch = TokenBatch::text(&network.spec, read, plan.into(), from - 1..read.len());
    let evidence = network.read(&batch, &mut [], &mut CachePool::default(), &mut Default::default())?;
    let Some(evidence) = evidence else {
        return Ok(Vec::new());
    };
    let mut nats = Vec::with_capacity(ids.len() - from);
    for (part, tokens) in ids[from..].chunks(ROWS).enumerate() {
        let evidence = evidence.narrow(0, part * ROWS, tokens.len())?;
        let logits = network.logits(&evidence)?.to_dtype(DType::F64)?;
        let most = logits.max_keepdim(1)?;
        let total = (logits.broadcast_sub(&most)?.exp()?.sum_keepdim(1)?.log()? + most)?;
        let own = logits.gather(&Tensor::from_slice(tokens, (tokens.len(), 1), device)?, 1)?;
        nats.extend((total - own)?.flatten_all()?.to_vec1::<f64>()?);
    }
    Ok(nats)
}
