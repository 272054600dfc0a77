//! Exponentials of many numbers at a time, alike on every machine: those of the standard library are calls into the system's, one
//! number after another, and a vocabulary has tens of thousands.

/// Below this, weights are 0: they would be less than any normal number.
const LEAST: f64 = -708.0;

/// `out[i] = exp(x[i])` of numbers that are not above 0, to within 2 units in the last place; 0 below -708.
pub(crate) fn exponentials(out: &mut [f64], x: &[f64]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = exp(*x);
    }
}

/// 2^n times the Taylor series of what is left, which lies within half of ln 2 (as in Cephes' exp).
#[inline(always)]
fn exp(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_457_519_531_25e-1;
    const LN2_LOW: f64 = 1.428_606_820_309_417_2e-6;
    // Adding and subtracting 1.5 * 2^52 rounds to a whole number without a call.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let clamped = if x > LEAST { x } else { LEAST };
    let rounded = clamped * std::f64::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.0 / 6_227_020_800.0;
    for factor in [
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
    ] {
        p = p * r + factor;
    }
    let p = p * r * r + r + 1.0;
    // The low bits of `rounded` are n; shifted into the exponent they make 2^n.
    let power = f64::from_bits((rounded.to_bits() << 52).wrapping_add(1.0f64.to_bits()));
    if x >= LEAST { p * power } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_within_two_units_in_the_last_place() {
        for i in 0..2_000_000 {
            let x = -708.0 * f64::from(i) / 2_000_000.0;
            let (got, want) = (exp(x), x.exp());
            assert!((got / want - 1.0).abs() <= 4.5e-16, "exp({x}): {got:e}, {want:e}");
        }
        let mut out = [1.0; 4];
        exponentials(&mut out, &[0.0, -709.0, f64::NEG_INFINITY, -0.0]);
        assert_eq!(out, [1.0, 0.0, 0.0, 1.0]);
    }
}
