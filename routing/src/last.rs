//! What routers know of the last prediction.

use candle_core::{Device, Tensor};

/// How undecided the last prediction was, for the rows of a pass that have one.
#[derive(Debug, Clone, Copy)]
pub struct LastEntropy<'a> {
    /// Entropy as a share of the largest possible, `[predicted]` f32.
    pub shares: &'a Tensor,
    /// For each row of the pass 0, or 1 + its place in `shares`, `[rows]` u32.
    pub place: &'a Tensor,
}

/// For each of `rows` (`[members]` u32) of a pass its entropy and 0, or 0 and 1 where nothing was predicted yet;
/// `[members, 2]` f32.
pub(crate) fn features(last: Option<LastEntropy<'_>>, rows: &Tensor, device: &Device) -> candle_core::Result<Tensor> {
    let absent = Tensor::new(&[[0f32, 1.0]], device)?;
    let Some(LastEntropy { shares, place }) = last else {
        return absent.broadcast_as((rows.dim(0)?, 2))?.contiguous();
    };
    let shares = shares.detach().unsqueeze(1)?;
    let known = Tensor::cat(&[&shares, &shares.zeros_like()?], 1)?;
    Tensor::cat(&[absent, known], 0)?.index_select(&place.index_select(rows, 0)?, 0)
}
