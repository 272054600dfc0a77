//! When two lists of numbers count as equal.

/// The relative error allowed to f32 arithmetic.
pub const F32_TOLERANCE: f64 = 1e-5;

/// Root of the mean squared difference over that of the wanted numbers (over 1e-12, if they are smaller still).
///
/// Infinities must stand in the same places and count as equal there.
///
/// # Panics
/// If lengths differ, or one side has a NaN or an infinity that the other lacks.
#[must_use]
pub fn relative_rms(what: &str, got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len(), "{what}: different lengths");
    let (mut error, mut power) = (0.0, 0.0);
    for (index, (&got, &want)) in got.iter().zip(want).enumerate() {
        if want.is_infinite() && got == want {
            continue;
        }
        let finite = got.is_finite() && want.is_finite();
        assert!(finite, "{what}: {got} instead of {want} at {index}");
        error += (got - want) * (got - want);
        power += want * want;
    }
    let count = got.len().max(1) as f64;
    (error / count).sqrt() / (power / count).sqrt().max(1e-12)
}

/// Asserts that f32 results equal a reference made in f64.
///
/// # Panics
/// If their relative error is above [`F32_TOLERANCE`].
pub fn assert_close(what: &str, got: &[f64], want: &[f64]) {
    assert_close_within(what, got, want, F32_TOLERANCE);
}

/// [`assert_close`] under a bound that the arithmetic at hand justifies.
///
/// # Panics
/// If the relative error is above `tolerance`.
pub fn assert_close_within(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    let error = relative_rms(what, got, want);
    assert!(
        error <= tolerance,
        "{what}: relative error {error:.3e}, allowed {tolerance:.1e}"
    );
}

/// Asserts that low-precision results err at most twice as much as the plain computation in that precision does
/// (the rule of FlashAttention's tests).
///
/// # Panics
/// If they err more.
pub fn assert_no_worse(what: &str, got: &[f64], naive_low: &[f64], want: &[f64]) {
    let (error, naive) = (relative_rms(what, got, want), relative_rms(what, naive_low, want));
    assert!(
        error <= 2.0 * naive + F32_TOLERANCE,
        "{what}: relative error {error:.3e}, the plain computation's {naive:.3e}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_relative() {
        let error = relative_rms("test", &[1.1, 2.2], &[1.0, 2.0]);
        assert!((error - 0.1).abs() < 1e-12);
        assert_close("test", &[f64::NEG_INFINITY, 1.0], &[f64::NEG_INFINITY, 1.0]);
    }

    #[test]
    #[should_panic(expected = "NaN instead of 1")]
    fn a_nan_is_never_close() {
        assert_close("test", &[f64::NAN], &[1.0]);
    }
}
