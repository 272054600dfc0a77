//! MAUVE (Pillutla et al. 2021, arXiv 2102.01454) on whatever features it is given, with the smoothed histograms of Pillutla
//! et al. 2022 (arXiv 2212.14578). Published values rest on features of GPT-2 large and cannot be compared.

use super::cluster;

/// The scaling constant `c` of the divergence curve (arXiv 2102.01454, section 2).
const SCALE: f64 = 5.0;
/// Mixtures on the curve.
const MIXTURES: usize = 2000;
/// The most groups.
const MOST: usize = 500;

/// How many groups so many texts in a set make: a tenth of them, between 2 and 500 (arXiv 2102.01454, section 4).
#[must_use]
pub fn buckets(texts: usize) -> usize {
    (texts as f64 / 10.0).round().clamp(2.0, MOST as f64) as usize
}

/// MAUVE of two sets of rows: they are grouped together, and the area is that under the curve of their histograms. From
/// 0 (nothing in common) to 1 (equal).
///
/// # Panics
/// If a set is empty.
#[must_use]
pub fn mauve(one: &[&[f32]], other: &[&[f32]]) -> f64 {
    let count = buckets(one.len().min(other.len()));
    let rows: Vec<&[f32]> = one.iter().chain(other).copied().collect();
    let groups = cluster(&rows, count);
    let (first, second) = groups.of.split_at(one.len());
    frontier_area(&histogram(first, count), &histogram(second, count))
}

/// Shares of the groups by the estimator of Krichevsky and Trofimov: half a row more in each (arXiv 2212.14578, section 4).
fn histogram(groups: &[usize], count: usize) -> Vec<f64> {
    let mut rows = vec![0.5; count];
    for group in groups {
        rows[*group] += 1.0;
    }
    let total = groups.len() as f64 + 0.5 * count as f64;
    rows.into_iter().map(|rows| rows / total).collect()
}

/// Area under the divergence curve `(exp(-c KL(q | r)), exp(-c KL(p | r)))`, where `r = w p + (1 - w) q` for `0 < w < 1`
/// and `c = 5` (arXiv 2102.01454, equation 1), by trapezoids.
#[must_use]
pub fn frontier_area(p: &[f64], q: &[f64]) -> f64 {
    let point = |step: usize| {
        let weight = step as f64 / MIXTURES as f64;
        let mixed: Vec<f64> = p.iter().zip(q).map(|(p, q)| weight * p + (1.0 - weight) * q).collect();
        (
            (-SCALE * divergence(q, &mixed)).exp(),
            (-SCALE * divergence(p, &mixed)).exp(),
        )
    };
    // The ends are not on the curve of distributions with a common part; they close the area with the axes.
    let inner = (1..MIXTURES).map(point);
    let points: Vec<(f64, f64)> = [(1.0, 0.0)].into_iter().chain(inner).chain([(0.0, 1.0)]).collect();
    points
        .windows(2)
        .map(|pair| (pair[0].0 - pair[1].0) * f64::midpoint(pair[0].1, pair[1].1))
        .sum()
}

/// `KL(p | r)` in nats.
fn divergence(p: &[f64], r: &[f64]) -> f64 {
    let terms = p.iter().zip(r).filter(|(p, _)| **p > 0.0);
    terms.map(|(p, r)| p * (p / r).ln()).sum()
}

#[cfg(test)]
mod tests {
    use drdiff_testkit::assert_close_within;

    use super::*;

    /// Trapezoids of this many steps err by about their square.
    const STEP: f64 = 1e-5;

    #[test]
    fn nothing_in_common_leaves_a_beta_function() {
        // The curve is ((1 - w)^5, w^5), and the area 5 B(6, 5) = 5 * 5! 4! / 10! = 1 / 252.
        let area = frontier_area(&[1.0, 0.0], &[0.0, 1.0]);
        assert_close_within("area", &[area], &[1.0 / 252.0], STEP);
    }

    #[test]
    fn the_area_is_that_of_the_authors_program() {
        // mauve-text 0.4.0, both areas' mean over 4,001 mixtures.
        let area = frontier_area(&[0.5, 0.3, 0.2], &[0.1, 0.6, 0.3]);
        assert_close_within("area", &[area], &[0.665_044_338_228_385_7], STEP);
    }

    #[test]
    fn equal_histograms_leave_the_whole_square() {
        assert!((frontier_area(&[0.3, 0.7], &[0.3, 0.7]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn two_groups_of_which_one_is_shared() {
        // p = (1, 0), q = (1/2, 1/2), r = ((1 + w) / 2, (1 - w) / 2): exp(-5 KL(p | r)) = ((1 + w) / 2)^5 and
        // exp(-5 KL(q | r)) = (1 - w²)^(5/2). The integral of y over -dx, with u = (1 + w) / 2, w = 2u - 1, is
        //   ∫ u^5 5 w (1 - w²)^(3/2) dw for w from 0 to 1, and the step at w = 1 adds nothing, at w = 0 x is 1.
        // Simpson's rule with many steps, apart from the code under test.
        let height = |w: f64| ((1.0 + w) / 2.0).powi(5) * 5.0 * w * (1.0 - w * w).max(0.0).powf(1.5);
        let steps = 20_000;
        let simpson: f64 = (0..=steps)
            .map(|i| match i {
                0 => 1.0,
                i if i == steps => 1.0,
                i if i % 2 == 1 => 4.0,
                _ => 2.0,
            } * height(f64::from(i) / f64::from(steps)))
            .sum();
        let want = simpson / (3.0 * f64::from(steps));
        let area = frontier_area(&[1.0, 0.0], &[0.5, 0.5]);
        assert_close_within("area", &[area], &[want], STEP);
        assert_close_within(
            "the other way",
            &[frontier_area(&[0.5, 0.5], &[1.0, 0.0])],
            &[area],
            STEP,
        );
    }

    #[test]
    fn histograms_are_smoothed() {
        assert_eq!(histogram(&[0, 0, 1], 3), [2.5 / 4.5, 1.5 / 4.5, 0.5 / 4.5]);
        assert_eq!([buckets(5), buckets(256), buckets(90_000)], [2, 26, 500]);
    }

    #[test]
    fn sets_far_apart_and_sets_alike() {
        let near: Vec<[f32; 1]> = (0..100).map(|i| [(i % 10) as f32]).collect();
        let far: Vec<[f32; 1]> = (0..100).map(|i| [1000.0 + (i % 10) as f32]).collect();
        let rows = |set: &'static [[f32; 1]]| set.iter().map(<[f32; 1]>::as_slice).collect::<Vec<_>>();
        let (near, far) = (rows(near.leak()), rows(far.leak()));
        assert!(mauve(&near, &near) > 1.0 - 1e-9);
        assert!(mauve(&near, &far) < 0.05, "{}", mauve(&near, &far));
    }
}
