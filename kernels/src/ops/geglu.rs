//! GeGLU (Shazeer, "GLU variants improve transformer", 2020) with the tanh form of gelu (Hendrycks and Gimpel, arXiv 1606.08415), in the
//! tensor library's own operations: networks that have it score texts and are not written with.

use crate::{Error, Result};
use candle_core::{D, Tensor};

/// `gelu(first half) * second half` of the last dimension: `[.., 2m]` to `[.., m]`.
///
/// # Errors
/// If the last dimension is odd.
pub fn geglu(x: &Tensor) -> Result<Tensor> {
    let width = x.dims().last().copied().unwrap_or(1);
    if !width.is_multiple_of(2) {
        return Err(Error::shape(
            "geglu",
            format!("the last dimension of {:?} is not even", x.dims()),
        ));
    }
    let (gate, up) = (
        x.narrow(D::Minus1, 0, width / 2)?,
        x.narrow(D::Minus1, width / 2, width / 2)?,
    );
    Ok((gate.gelu()? * up)?)
}
