//! Gradients against central differences, and the check that none is lost.

use crate::{Inputs, assert_close_within};
use candle_core::{Tensor, Var};

/// Step of central differences in f64: the cube root of the rounding error balances rounding and curvature.
const STEP: f64 = 6e-6;

/// The slope of `f` at `at` along `direction`, by central differences.
pub fn directional(f: &impl Fn(&[f64]) -> f64, at: &[f64], direction: &[f64]) -> f64 {
    let moved = |by: f64| -> Vec<f64> { at.iter().zip(direction).map(|(x, d)| x + by * d).collect() };
    (f(&moved(STEP)) - f(&moved(-STEP))) / (2.0 * STEP)
}

/// Asserts that `gradient` is that of `f` (computed in f64) at `at`.
///
/// Up to 64 inputs are checked one by one; above, slopes along 32 random directions, which every input moves.
///
/// # Panics
/// If they differ by more than f32 arithmetic explains.
pub fn assert_gradient(what: &str, f: impl Fn(&[f64]) -> f64, at: &[f64], gradient: &[f64]) {
    assert_eq!(at.len(), gradient.len(), "{what}: as many slopes as inputs");
    let directions: Vec<Vec<f64>> = if at.len() <= 64 {
        let unit = |hot| (0..at.len()).map(move |index| f64::from(u8::from(index == hot)));
        (0..at.len()).map(|hot| unit(hot).collect()).collect()
    } else {
        let mut inputs = Inputs::new(at.len() as u64);
        (0..32).map(|_| inputs.numbers(at.len())).collect()
    };
    let want: Vec<f64> = directions
        .iter()
        .map(|direction| directional(&f, at, direction))
        .collect();
    let dot = |direction: &Vec<f64>| direction.iter().zip(gradient).map(|(d, g)| d * g).sum();
    let got: Vec<f64> = directions.iter().map(dot).collect();
    assert_close_within(what, &got, &want, 5e-5);
}

/// Asserts that every variable has a finite gradient that is not zero everywhere.
///
/// # Panics
/// Naming each variable whose gradient is missing, zero or not finite.
pub fn assert_all_learn<'a, 'g>(
    vars: impl IntoIterator<Item = (&'a str, &'a Var)>,
    gradient: impl Fn(&Tensor) -> Option<&'g Tensor>,
) {
    let lost: Vec<String> = vars
        .into_iter()
        .filter_map(|(name, var)| {
            let power = gradient(var).map(|grad| grad.sqr()?.sum_all()?.to_scalar::<f32>());
            match power {
                None => Some(format!("{name}: missing")),
                Some(Ok(power)) if power.is_finite() && power > 0.0 => None,
                Some(power) => Some(format!("{name}: squares sum to {power:?}")),
            }
        })
        .collect();
    assert!(lost.is_empty(), "gradients lost: {lost:#?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_gradient_passes() {
        let at = [1.0, -2.0, 0.5];
        let gradient: Vec<f64> = at.iter().map(|x| 3.0 * x * x).collect();
        assert_gradient("cubes", |x| x.iter().map(|x| x * x * x).sum(), &at, &gradient);
    }

    #[test]
    #[should_panic(expected = "relative error")]
    fn a_wrong_gradient_fails() {
        assert_gradient(
            "cubes",
            |x| x.iter().map(|x| x * x * x).sum(),
            &[1.0, 2.0],
            &[3.0, 11.9],
        );
    }
}
