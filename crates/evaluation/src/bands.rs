//! Which rows may be compared, which of them is best, and which is cheap and nearly as good.

/// Rows further apart than this in entropy (nats a token) are never ranked: lower entropy buys lower perplexity, so
/// the one would win by being dull.
pub const COMPARABLE: f64 = 0.15;
/// "As good as the best": at most this share above its perplexity.
pub const TOLERANCE: f64 = 0.05;

/// What a row costs and how it reads, as far as choosing is concerned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Floating-point operations a token.
    pub flops: f64,
    /// Perplexity under the judge; lower is better.
    pub perplexity: f64,
    /// Unigram entropy, nats a token.
    pub entropy: f64,
}

/// Rows that may be ranked: no two of them are more than [`COMPARABLE`] apart in entropy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    /// Indices of its rows, the lowest entropy first.
    pub rows: Vec<usize>,
    /// The row of the lowest perplexity.
    pub best: usize,
    /// The row that takes the fewest operations among those within [`TOLERANCE`] of the best.
    pub cheapest: usize,
    /// Rows that no other row beats in both cost and perplexity, the cheapest first.
    pub front: Vec<usize>,
}

/// Cuts rows into bands; the first one is the band that the report speaks of.
///
/// With a `reference` (the entropy of human text) the first band is the one around the row that is nearest to it;
/// without one it is the band that holds most rows, and of equals the one of higher entropy. The other bands are cut
/// from the rows that are left, in the same way.
#[must_use]
pub fn bands(points: &[Point], reference: Option<f64>) -> Vec<Band> {
    let mut left: Vec<usize> = (0..points.len()).collect();
    left.sort_by(|a, b| points[*a].entropy.total_cmp(&points[*b].entropy));
    let mut bands = Vec::new();
    while !left.is_empty() {
        let (start, end) = window(&left, points, reference);
        bands.push(band(left.drain(start..end).collect(), points));
    }
    bands
}

/// The next band among rows that are sorted by entropy.
fn window(left: &[usize], points: &[Point], reference: Option<f64>) -> (usize, usize) {
    let entropy = |place: usize| points[left[place]].entropy;
    let spans = (0..left.len()).map(|start| {
        // Entropies come from sums of logarithms: a hair more is not more.
        let fits = |end: &usize| entropy(*end) - entropy(start) <= COMPARABLE + 1e-9;
        (start, (start..left.len()).take_while(fits).count() + start)
    });
    let away = |place: usize| reference.map_or(0.0, |reference| (entropy(place) - reference).abs());
    let nearest = (0..left.len()).map(away).fold(f64::INFINITY, f64::min);
    // Of two rows that are equally near, the band may hold either.
    let holds = |(start, end): &(usize, usize)| (*start..*end).any(|place| away(place) <= nearest);
    // The last of equals is the one of higher entropy.
    spans
        .filter(holds)
        .max_by_key(|(start, end)| end - start)
        .unwrap_or((0, left.len()))
}

fn band(rows: Vec<usize>, points: &[Point]) -> Band {
    let least = |rows: &mut dyn Iterator<Item = usize>, of: &dyn Fn(&Point) -> f64| {
        rows.min_by(|a, b| of(&points[*a]).total_cmp(&of(&points[*b])).then(a.cmp(b)))
    };
    let first = rows.first().copied().unwrap_or_default();
    let best = least(&mut rows.iter().copied(), &|point| point.perplexity).unwrap_or(first);
    let limit = points[best].perplexity * (1.0 + TOLERANCE);
    let mut good = rows.iter().copied().filter(|row| points[*row].perplexity <= limit);
    let cheapest = least(&mut good, &|point| point.flops).unwrap_or(best);
    Band {
        front: front(&rows, |row| (points[row].flops, points[row].perplexity)),
        rows,
        best,
        cheapest,
    }
}

/// The Pareto front: rows such that no other is at most as dear and better, the cheapest first.
#[must_use]
pub fn front(rows: &[usize], of: impl Fn(usize) -> (f64, f64)) -> Vec<usize> {
    let mut sorted = rows.to_vec();
    sorted.sort_by(|a, b| {
        let (a, b) = (of(*a), of(*b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    let mut least = f64::INFINITY;
    sorted.retain(|row| {
        let better = of(*row).1 < least;
        least = least.min(of(*row).1);
        better
    });
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(flops: f64, perplexity: f64, entropy: f64) -> Point {
        Point {
            flops,
            perplexity,
            entropy,
        }
    }

    #[test]
    fn the_cheapest_within_five_percent_is_named() {
        // The figures of MDLM (arXiv 2506.10892, appendix), 8 to 1,024 steps.
        let rows = [
            (8.0, 830.82, 5.91),
            (16.0, 343.33, 5.81),
            (32.0, 196.79, 5.75),
            (64.0, 143.88, 5.70),
            (128.0, 120.77, 5.67),
            (256.0, 112.70, 5.66),
            (512.0, 104.43, 5.63),
            (1024.0, 104.85, 5.63),
        ];
        let points = rows.map(|(steps, perplexity, entropy)| point(steps, perplexity, entropy));
        let bands = bands(&points, None);
        assert_eq!(bands[0].rows, [6, 7, 5, 4, 3, 2], "16 and 8 steps are further away");
        assert_eq!((bands[0].best, bands[0].cheapest), (6, 6));
        assert_eq!(bands[0].front, [2, 3, 4, 5, 6]);
        assert_eq!(bands[1].rows, [1, 0]);
    }

    #[test]
    fn dull_text_wins_nothing() {
        let dull = point(1.0, 5.0, 3.0);
        let rows = [
            dull,
            point(2.0, 104.0, 4.5),
            point(4.0, 100.0, 4.5),
            point(8.0, 102.0, 4.6),
        ];
        let bands = bands(&rows, None);
        assert_eq!((bands[0].best, bands[0].cheapest), (2, 1));
        assert_eq!(bands[1].rows, [0]);
        let near_dull = super::bands(&rows, Some(3.2));
        assert_eq!(
            near_dull[0].rows,
            [0],
            "with a reference, the band around it comes first"
        );
    }

    #[test]
    fn no_two_rows_of_a_band_are_further_apart_than_allowed() {
        let points: Vec<Point> = (0..40).map(|i| point(1.0, 1.0, 4.0 + 0.037 * f64::from(i))).collect();
        for reference in [None, Some(4.7)] {
            let bands = bands(&points, reference);
            assert_eq!(bands.iter().map(|band| band.rows.len()).sum::<usize>(), points.len());
            for band in bands {
                let (low, high) = (band.rows[0], band.rows[band.rows.len() - 1]);
                assert!(points[high].entropy - points[low].entropy <= COMPARABLE + 1e-9);
            }
        }
        assert!(super::bands(&[], None).is_empty());
    }
}
