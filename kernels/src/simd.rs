//! The hot loops over rows: written once over fixed lanes, compiled for each instruction set, chosen at run time.
//!
//! Sums run over [`LANES`] partial sums in a fixed order, so every instruction set gives the same bits.

#![allow(unsafe_code)]

const LANES: usize = 16;

/// Compiles a function for AVX-512, AVX2 and the base line, and calls the best that the processor has.
macro_rules! dispatched {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)?, $body:path) => {
        $(#[$doc])*
        #[allow(unsafe_code, reason = "calls into the chosen instruction set")]
        pub(crate) fn $name($($arg: $ty),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
                fn avx512($($arg: $ty),*) $(-> $out)? {
                    $body($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $ty),*) $(-> $out)? {
                    $body($($arg),*)
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                {
                    // SAFETY: the processor has the features, checked above.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has the feature, checked above.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}

pub(crate) use dispatched;

dispatched!(
    /// The sum of products of two slices of one length.
    dot(a: &[f32], b: &[f32]) -> f32, dot_body
);
dispatched!(
    /// The largest number; negative infinity if there is none.
    max(row: &[f32]) -> f32, max_body
);
dispatched!(
    /// Replaces each x by exp(x - shift), and returns their sum.
    exp_shifted(row: &mut [f32], shift: f32) -> f32, exp_shifted_body
);
dispatched!(
    /// The sum of exp(x - shift), leaving the row as it is.
    sum_exp_shifted(row: &[f32], shift: f32) -> f32, sum_exp_shifted_body
);
dispatched!(
    /// The sum of exp(x - shift) (x - shift): with that of exp(x - shift), the mean of x under the softmax of the row.
    sum_weighted_exp_shifted(row: &[f32], shift: f32) -> f32, sum_weighted_exp_shifted_body
);
dispatched!(
    /// `out[i] = scale * <a, row i>` of rows of `a`'s length, `stride` apart.
    row_products(out: &mut [f32], a: &[f32], rows: &[f32], stride: usize, scale: f32), row_products_body
);
dispatched!(
    /// `out += sum of weights[i] * row i`, one after another, of rows of `out`'s length, `stride` apart.
    add_weighted(out: &mut [f32], weights: &[f32], rows: &[f32], stride: usize), add_weighted_body
);
dispatched!(
    /// Multiplies a row by a number.
    scale(row: &mut [f32], by: f32), scale_body
);
dispatched!(
    /// Adds one row to another.
    add(row: &mut [f32], other: &[f32]), add_body
);
dispatched!(
    /// `out = silu(gate) * up`.
    silu_times(out: &mut [f32], gate: &[f32], up: &[f32]), silu_times_body
);
dispatched!(
    /// The gradients of `silu(gate) * up` with respect to both, given that of the product.
    silu_times_backward(dgate: &mut [f32], dup: &mut [f32], gate: &[f32], up: &[f32], dy: &[f32]),
    silu_times_backward_body
);
dispatched!(
    /// Turns a row of probabilities p and of their gradients g into the scores' gradients `p * (g - mean)`.
    softmax_backward(p: &mut [f32], g: &[f32], mean: f32), softmax_backward_body
);

#[inline(always)]
fn lanes(sums: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    let mut sums = sums;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

#[inline(always)]
fn dot_body(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    for (lane, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        sums[lane] += a * b;
    }
    lanes(sums)
}

#[inline(always)]
fn row_products_body(out: &mut [f32], a: &[f32], rows: &[f32], stride: usize, scale: f32) {
    for (index, out) in out.iter_mut().enumerate() {
        *out = scale * dot_body(a, &rows[index * stride..][..a.len()]);
    }
}

#[inline(always)]
fn add_weighted_body(out: &mut [f32], weights: &[f32], rows: &[f32], stride: usize) {
    const WIDE: usize = 4 * LANES;
    let (chunks, rest) = out.as_chunks_mut::<WIDE>();
    let first = chunks.len() * WIDE;
    for (chunk, out) in chunks.iter_mut().enumerate() {
        let mut sums = *out;
        for (index, weight) in weights.iter().enumerate() {
            let row = &rows[index * stride + chunk * WIDE..][..WIDE];
            for lane in 0..WIDE {
                sums[lane] += weight * row[lane];
            }
        }
        *out = sums;
    }
    if !rest.is_empty() {
        for (index, weight) in weights.iter().enumerate() {
            for (sum, x) in rest.iter_mut().zip(&rows[index * stride + first..]) {
                *sum += weight * x;
            }
        }
    }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[inline(always)]
fn max_body(row: &[f32]) -> f32 {
    let mut best = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            best[lane] = larger(best[lane], chunk[lane]);
        }
    }
    rest.iter().chain(&best).fold(f32::NEG_INFINITY, |a, &b| larger(a, b))
}

/// exp(x) within 2 units in the last place: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2] (Cephes' expf).
///
/// Below -87.3 the result is 0, without denormals; the standard library's exp is a call that cannot be vectorised.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 * 2^23 rounds to a whole number without a call.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.3, 88.3);
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    // The low bits of `rounded` are n; shifted into the exponent they make 2^n.
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    let value = p * power;
    if x < -87.3 {
        0.0
    } else if x > 88.3 {
        f32::INFINITY
    } else {
        value
    }
}

#[inline(always)]
fn exp_shifted_body(row: &mut [f32], shift: f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (chunks, rest) = row.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            chunk[lane] = exp(chunk[lane] - shift);
            sums[lane] += chunk[lane];
        }
    }
    for (lane, x) in rest.iter_mut().enumerate() {
        *x = exp(*x - shift);
        sums[lane] += *x;
    }
    lanes(sums)
}

#[inline(always)]
fn sum_exp_shifted_body(row: &[f32], shift: f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += exp(chunk[lane] - shift);
        }
    }
    for (lane, &x) in rest.iter().enumerate() {
        sums[lane] += exp(x - shift);
    }
    lanes(sums)
}

#[inline(always)]
fn sum_weighted_exp_shifted_body(row: &[f32], shift: f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    // A logit of negative infinity has no weight, and the product would not be a number.
    let weighted = |x: f32| exp(x - shift) * (x - shift).max(-1e4);
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += weighted(chunk[lane]);
        }
    }
    for (lane, &x) in rest.iter().enumerate() {
        sums[lane] += weighted(x);
    }
    lanes(sums)
}

#[inline(always)]
fn scale_body(row: &mut [f32], by: f32) {
    for x in row {
        *x *= by;
    }
}

#[inline(always)]
fn add_body(row: &mut [f32], other: &[f32]) {
    for (x, y) in row.iter_mut().zip(other) {
        *x += y;
    }
}

#[inline(always)]
fn silu_times_body(out: &mut [f32], gate: &[f32], up: &[f32]) {
    for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
        *out = gate / (1.0 + exp(-gate)) * up;
    }
}

#[inline(always)]
fn silu_times_backward_body(dgate: &mut [f32], dup: &mut [f32], gate: &[f32], up: &[f32], dy: &[f32]) {
    let grads = dgate.iter_mut().zip(dup);
    for (((grads, &gate), &up), &dy) in grads.zip(gate).zip(up).zip(dy) {
        let sigmoid = 1.0 / (1.0 + exp(-gate));
        let silu = gate * sigmoid;
        *grads.0 = dy * up * (sigmoid + silu * (1.0 - sigmoid));
        *grads.1 = dy * silu;
    }
}

#[inline(always)]
fn softmax_backward_body(p: &mut [f32], g: &[f32], mean: f32) {
    for (p, &g) in p.iter_mut().zip(g) {
        *p *= g - mean;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_a_few_units_in_the_last_place() {
        for i in -87_000..88_000 {
            let x = i as f32 * 1e-3;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 3e-7, "exp({x})");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for len in [0, 1, 15, 16, 17, 63, 200] {
            let a: Vec<f32> = (0..len).map(|i| ((i * 37 % 101) as f32) * 0.11 - 5.0).collect();
            let b: Vec<f32> = a.iter().rev().copied().collect();
            assert_eq!(dot(&a, &b).to_bits(), dot_body(&a, &b).to_bits());
            assert_eq!(max(&a), max_body(&a));
            assert_eq!(
                sum_exp_shifted(&a, 1.0).to_bits(),
                sum_exp_shifted_body(&a, 1.0).to_bits()
            );
            assert_eq!(
                sum_weighted_exp_shifted(&a, 1.0).to_bits(),
                sum_weighted_exp_shifted_body(&a, 1.0).to_bits()
            );
            let (mut fast, mut plain) = (a.clone(), a.clone());
            assert_eq!(
                exp_shifted(&mut fast, 1.0).to_bits(),
                exp_shifted_body(&mut plain, 1.0).to_bits()
            );
            assert_eq!(fast, plain);
        }
    }
}
