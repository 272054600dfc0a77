//! Attention as one writes it in candle without a kernel: the peer of the tile kernels on a CPU.

use candle_core::{D, Result, Tensor};

/// `softmax(q k^T / sqrt(D)) v` for `[B, H, N, D]`, through two `[B, H, N, N]` buffers and more.
///
/// # Errors
/// If a tensor operation fails.
pub(super) fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let scale = (q.dim(D::Minus1)? as f64).powf(-0.5);
    let scores = (q.matmul(&k.t()?)? * scale)?;
    let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
    weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?.matmul(v)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::Device;
    use drdiff_kernels::{TilePlan, Visibility, tile_attention};
    use drdiff_testkit::{assert_close, values};

    use super::*;

    #[test]
    fn it_computes_what_the_kernel_computes() {
        let (n, width) = (70, 8);
        let wave = |step: f64| {
            let numbers: Vec<f32> = (0..2 * n * width).map(|i| (i as f64 * step).sin() as f32).collect();
            Tensor::from_vec(numbers, (1, n, 2, width), &Device::Cpu).unwrap()
        };
        let (q, k, v) = (wave(0.7), wave(1.3), wave(2.1));
        let plan = Arc::new(TilePlan::new(&[Visibility::dense(n, n)]).unwrap());
        let ours = tile_attention(&q, &k, &v, &plan, (width as f64).powf(-0.5))
            .unwrap()
            .out;
        let heads_first = |x: &Tensor| x.transpose(1, 2).unwrap().contiguous().unwrap();
        let naive = attention(&heads_first(&q), &heads_first(&k), &heads_first(&v)).unwrap();
        let naive = naive.transpose(1, 2).unwrap();
        assert_close("out", &values(&naive).unwrap(), &values(&ours).unwrap());
    }
}
