//! Which of several sets of texts is better, as far as that may be said.

use super::measure::Row;
use crate::{Point, bands};

/// The place of each row among those that it may be compared with, the lowest perplexity first, equal ones side by side; `None` without a judge or
/// where no other row is near enough in entropy (see [`crate::COMPARABLE`]). Where some texts were read after their prompts,
/// a row with texts whose prompts are not known has no place: they were read from nothing.
#[must_use]
pub fn ranks(rows: &[Row]) -> Vec<Option<usize>> {
    let mut ranks = vec![None; rows.len()];
    let prompted = rows.iter().any(|row| row.prompted > 0);
    let known: Vec<(usize, Point)> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| !prompted || row.prompt_unknown == 0)
        .filter_map(|(at, row)| Some((at, point(row)?)))
        .collect();
    let points: Vec<Point> = known.iter().map(|(_, point)| *point).collect();
    for band in bands(&points, None) {
        let order = band.rows;
        if order.len() > 1 {
            for index in &order {
                let better = order
                    .iter()
                    .filter(|other| points[**other].perplexity < points[*index].perplexity);
                ranks[known[*index].0] = Some(better.count() + 1);
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
            perplexity: perplexity.map(|value| Perplexity {
                value,
                log_error: None,
                texts: 1,
            }),
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

    #[test]
    fn texts_of_unknown_prompts_are_not_ranked_beside_texts_with_prompts() {
        let unknown = |perplexity| Row {
            prompt_unknown: 2,
            ..row(4.0, Some(perplexity))
        };
        let prompted = |perplexity| Row {
            prompted: 2,
            ..row(4.0, Some(perplexity))
        };
        assert_eq!(ranks(&[unknown(20.0), unknown(10.0)]), [Some(2), Some(1)]);
        assert_eq!(ranks(&[prompted(20.0), prompted(20.0)]), [Some(1), Some(1)]);
        assert_eq!(ranks(&[unknown(20.0), prompted(10.0)]), [None, None]);
        let rows = [prompted(30.0), unknown(20.0), prompted(10.0)];
        assert_eq!(ranks(&rows), [Some(2), None, Some(1)]);
    }
}
