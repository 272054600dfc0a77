//! Whether counts come from a distribution, or two samples from the same one: Pearson's chi-squared test.

/// Cells that are expected to hold fewer are put together.
const FEW: f64 = 5.0;

/// The probability that a sample of `probabilities` lies as far from them as these counts do.
#[must_use]
pub fn against_probabilities(counts: &[u64], probabilities: &[f64]) -> f64 {
    let n = counts.iter().sum::<u64>() as f64;
    let cells = counts.iter().zip(probabilities);
    let (mut sum, mut kept, mut rest) = (0.0, 0.0, (0.0, 0.0));
    let distance = |found: f64, expected: f64| (found - expected).powi(2) / expected;
    for (count, p) in cells {
        let (found, expected) = (*count as f64, n * p);
        assert!(expected > 0.0 || *count == 0, "a cell of probability 0 was drawn");
        if expected >= FEW {
            sum += distance(found, expected);
            kept += 1.0;
        } else {
            rest = (rest.0 + found, rest.1 + expected);
        }
    }
    if rest.1 > 0.0 {
        sum += distance(rest.0, rest.1);
        kept += 1.0;
    }
    upper_tail(sum, kept - 1.0)
}

/// The probability that two samples of one distribution lie as far apart as these, cell by cell.
#[must_use]
pub fn between_samples(one: &[u64], other: &[u64]) -> f64 {
    let total = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
    let (n, m) = (total(one), total(other));
    let (mut sum, mut kept, mut rest) = (0.0, 0.0, (0.0, 0.0));
    // Of each sample as many are expected as its share of all.
    let distance = |a: f64, b: f64| (a * m - b * n).powi(2) / (n * m * (a + b));
    for (a, b) in one.iter().zip(other) {
        let (a, b) = (*a as f64, *b as f64);
        if (a + b) * n.min(m) / (n + m) >= FEW {
            sum += distance(a, b);
            kept += 1.0;
        } else {
            rest = (rest.0 + a, rest.1 + b);
        }
    }
    if rest.0 + rest.1 > 0.0 {
        sum += distance(rest.0, rest.1);
        kept += 1.0;
    }
    upper_tail(sum, kept - 1.0)
}

/// The probability that chi-squared with `degrees` of freedom is at least `x`, by the cube root that is nearly normal (Wilson and Hilferty, PNAS
/// 17, 1931).
fn upper_tail(x: f64, degrees: f64) -> f64 {
    assert!(degrees >= 1.0, "too few cells to compare");
    let variance = 2.0 / (9.0 * degrees);
    let z = ((x / degrees).cbrt() - (1.0 - variance)) / variance.sqrt();
    0.5 * erfc(z / std::f64::consts::SQRT_2)
}

/// The complementary error function to 1.2e-7 of itself (Numerical Recipes, chapter 6.2).
fn erfc(x: f64) -> f64 {
    const SERIES: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let t = 1.0 / (1.0 + 0.5 * x.abs());
    let polynomial = SERIES.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let tail = t * (polynomial - x * x).exp();
    if x >= 0.0 { tail } else { 2.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_tables() {
        // The 5 % and 1 % points of 10 and 100 degrees of freedom.
        for (x, degrees, tail) in [
            (18.307, 10.0, 0.05),
            (23.209, 10.0, 0.01),
            (124.342, 100.0, 0.05),
            (135.807, 100.0, 0.01),
        ] {
            let found = upper_tail(x, degrees);
            assert!((found / tail - 1.0).abs() < 0.03, "{found} for {tail}");
        }
    }

    #[test]
    fn what_differs_is_told_apart() {
        assert!(against_probabilities(&[500, 300, 200], &[0.5, 0.3, 0.2]) > 0.99);
        assert!(against_probabilities(&[560, 260, 180], &[0.5, 0.3, 0.2]) < 0.01);
        assert!(between_samples(&[500, 300, 200, 1], &[1000, 600, 400, 1]) > 0.5);
        assert!(between_samples(&[500, 300, 200, 1], &[1000, 700, 300, 1]) < 0.01);
    }
}
