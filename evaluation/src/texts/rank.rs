//! Which of several sets of texts is better, as far as that may be said.

use super::measure::Row;
use crate::report::{Point, bands};

/// The place of each row among those that it may be compared with, the lowest perplexity first; `None` without a judge or
/// where no other row is near enough in entropy (see [`crate::report::COMPARABLE`]).
#[must_use]
pub fn ranks(rows: &[Row]) -> Vec<Option<usize>> {
    let mut ranks = vec![None; rows.len()];
    let known: Vec<(usize, Point)> = rows
        .iter()
        .enumerate()
        .filter_map(|(at, row)| Some((at, point(row)?)))
        .collect();
    let points: Vec<Point> = known.iter().map(|(_, point)| *point).collect();
    for band in bands(&points, None) {
        let mut order = band.rows;
        order.sort_by(|a, b| points[*a].perplexity.total_cmp(&points[*b].perplexity).then(a.cmp(b)));
        if order.len() > 1 {
            for (place, index) in order.into_iter().enumerate() {
                ranks[known[index].0] = Some(place + 1);
            }
        }
    }
    ranks
}

fn point(row: &Row) -> Option<Point> {
    Some(Point {
        flops: 0.0,
        perplexity: row.perplexity?.value,
        entropy: row.counts.entropy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Counts;
    use crate::texts::Perplexity;

    fn row(entropy: f64, perplexity: Option<f64>) -> Row {
        Row {
            counts: Counts {
                entropy,
                ..Counts::default()
            },
            perplexity: perplexity.map(|value| Perplexity { value, log_error: None }),
            ..Row::default()
        }
    }

    #[test]
    fn dull_text_is_not_ranked_above_lively_text() {
        let rows = [
            row(4.0, Some(30.0)),
            row(3.0, Some(5.0)),
            row(4.1, Some(25.0)),
            row(4.05, None),
        ];
        assert_eq!(ranks(&rows), [Some(2), None, Some(1), None]);
    }
}
