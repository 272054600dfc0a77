//! k-means with k-means++ starts (Arthur and Vassilvitskii 2007) whose draws depend on nothing but their place.

use drdiff_noise::{Noise, NoiseStream, Purpose};

/// Starts of which the best is taken.
const STARTS: u64 = 5;
/// Rounds after which a start ends, settled or not.
const ROUNDS: usize = 100;
/// Seed of the starts.
const SEED: u64 = 0;

/// Rows in groups.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clusters {
    /// The group of each row.
    pub of: Vec<usize>,
    /// Sum of the squared distances from the centres.
    pub inertia: f64,
}

/// Puts rows of equal length into at most `count` groups with small squared distances from their means. The same rows give
/// the same groups.
///
/// # Panics
/// If there are no rows or no groups.
#[must_use]
pub(super) fn cluster(rows: &[&[f32]], count: usize) -> Clusters {
    assert!(!rows.is_empty() && count > 0, "groups need rows and a number");
    let noise = Noise::new(SEED, 0);
    let starts = (0..STARTS).map(|start| {
        settle(
            rows,
            spread_out(rows, count, &mut noise.stream(Purpose::Init, start, 0)),
        )
    });
    let best = starts.min_by(|one, other| one.inertia.total_cmp(&other.inertia));
    best.expect("there is more than one start")
}

/// k-means++: each centre is a row, drawn in proportion to its squared distance from the centres before it.
fn spread_out(rows: &[&[f32]], count: usize, stream: &mut NoiseStream) -> Vec<Vec<f64>> {
    let centre = |row: usize| rows[row].iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
    let mut centres = vec![centre(stream.below(rows.len()))];
    let mut away: Vec<f64> = rows.iter().map(|row| distance(row, &centres[0])).collect();
    while centres.len() < count {
        let total: f64 = away.iter().sum();
        let mut left = stream.uniform() * total;
        let drawn = away.iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        // Every row is a centre already.
        let Some(drawn) = drawn else { break };
        centres.push(centre(drawn));
        for (least, row) in away.iter_mut().zip(rows) {
            *least = least.min(distance(row, &centres[centres.len() - 1]));
        }
    }
    centres
}

/// Lloyd's rounds until no row changes its group. A centre without rows stays where it is.
fn settle(rows: &[&[f32]], mut centres: Vec<Vec<f64>>) -> Clusters {
    let mut of = Vec::new();
    for _ in 0..ROUNDS {
        let now: Vec<usize> = rows.iter().map(|row| nearest(row, &centres)).collect();
        if now == of {
            break;
        }
        of = now;
        for (group, centre) in centres.iter_mut().enumerate() {
            let members: Vec<&&[f32]> = rows
                .iter()
                .zip(&of)
                .filter(|(_, of)| **of == group)
                .map(|(row, _)| row)
                .collect();
            if members.is_empty() {
                continue;
            }
            for (column, value) in centre.iter_mut().enumerate() {
                let sum: f64 = members.iter().map(|row| f64::from(row[column])).sum();
                *value = sum / members.len() as f64;
            }
        }
    }
    let inertia = rows
        .iter()
        .zip(&of)
        .map(|(row, group)| distance(row, &centres[*group]))
        .sum();
    Clusters { of, inertia }
}

/// The first of the nearest centres.
fn nearest(row: &[f32], centres: &[Vec<f64>]) -> usize {
    let mut best = (0, f64::INFINITY);
    for (group, centre) in centres.iter().enumerate() {
        let away = distance(row, centre);
        if away < best.1 {
            best = (group, away);
        }
    }
    best.0
}

fn distance(row: &[f32], centre: &[f64]) -> f64 {
    row.iter()
        .zip(centre)
        .map(|(value, centre)| (f64::from(*value) - centre).powi(2))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_lie_apart_are_found() {
        let rows: [&[f32]; 6] = [
            &[0.0, 0.0],
            &[9.0, 9.0],
            &[0.0, 1.0],
            &[9.0, 8.0],
            &[-9.0, 4.0],
            &[-9.0, 5.0],
        ];
        let found = cluster(&rows, 3);
        assert_eq!(found.of[0], found.of[2]);
        assert_eq!(found.of[1], found.of[3]);
        assert_eq!(found.of[4], found.of[5]);
        // Each pair is 1 apart, so each row is half of that from its mean: 6 * 0.25.
        assert!((found.inertia - 1.5).abs() < 1e-12, "{}", found.inertia);
        assert_eq!(found, cluster(&rows, 3));
    }

    #[test]
    fn equal_rows_make_one_group() {
        let rows: [&[f32]; 4] = [&[1.0]; 4];
        assert_eq!(
            cluster(&rows, 3),
            Clusters {
                of: vec![0; 4],
                inertia: 0.0
            }
        );
    }
}
