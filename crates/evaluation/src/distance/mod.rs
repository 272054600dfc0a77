//! How far a set of texts is from human text, in a space of features.
//!
//! Both distances depend on how many texts there are: with few, even two sets of the same author are far apart. So
//! human text is cut into two halves, all sets are brought to one size, and beside each distance stands what it is
//! between the two halves. Only the difference says something about the generated texts.

mod clusters;
mod error;
mod frechet;
mod human;
mod mauve;

pub use serde::Serialize;

use clusters::cluster;
pub use error::DistanceError;
pub use frechet::{Gaussian, frechet};
pub use human::Human;
pub use mauve::{buckets, frontier_area, mauve};

/// The fewest texts in a set.
pub const LEAST: usize = 20;

/// Distances of generated from human text.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distances {
    /// Texts in each of the sets that were compared.
    pub texts: usize,
    /// Fréchet distance of generated texts from human ones, the mean over both halves; 0 is best.
    pub frechet: f64,
    /// Fréchet distance between the halves of human text: what no author gets below, except by copying.
    pub frechet_floor: f64,
    /// MAUVE of generated and human texts on these features, the mean over both halves; 1 is best.
    pub mauve: f64,
    /// MAUVE between the halves of human text.
    pub mauve_ceiling: f64,
}

/// Compares the features of generated texts with those of human texts, one row of equal length for each text.
///
/// Human texts with even and with odd places are the halves. Of each set as many texts are taken as the smallest has,
/// evenly spread over the set.
///
/// # Errors
/// If there are fewer than [`LEAST`] generated texts or twice as many human ones, or rows differ in length or are not finite.
pub fn compare(generated: &[Vec<f32>], human: &[Vec<f32>]) -> Result<Distances, DistanceError> {
    let texts = generated.len().min(human.len() / 2);
    if texts < LEAST {
        return Err(DistanceError::TooFew {
            generated: generated.len(),
            human: human.len(),
        });
    }
    let width = human[0].len();
    for (set, rows) in [("generated", generated), ("human", human)] {
        let wrong = |row: &Vec<f32>| row.is_empty() || row.len() != width || row.iter().any(|value| !value.is_finite());
        if let Some(index) = rows.iter().position(wrong) {
            return Err(DistanceError::Feature { set, index });
        }
    }
    let half = |first: usize| -> Vec<&[f32]> { human.iter().skip(first).step_by(2).map(Vec::as_slice).collect() };
    let all: Vec<&[f32]> = generated.iter().map(Vec::as_slice).collect();
    let [written, even, odd] = [all, half(0), half(1)].map(|rows| spread(&rows, texts));
    let [own, first, second] = [&written, &even, &odd].map(|rows| Gaussian::fit(rows));
    Ok(Distances {
        texts,
        frechet: f64::midpoint(frechet(&own, &first), frechet(&own, &second)),
        frechet_floor: frechet(&first, &second),
        mauve: f64::midpoint(mauve(&written, &even), mauve(&written, &odd)),
        mauve_ceiling: mauve(&even, &odd),
    })
}

/// `count` of the rows, evenly spread.
fn spread<'a>(rows: &[&'a [f32]], count: usize) -> Vec<&'a [f32]> {
    (0..count).map(|place| rows[place * rows.len() / count]).collect()
}

#[cfg(test)]
mod tests {
    use drdiff_noise::{Noise, Purpose};

    use super::*;

    /// Draws around `centre`, `spread` wide.
    fn cloud(seed: u64, count: usize, centre: f32, spread: f64) -> Vec<Vec<f32>> {
        let draw = |text: usize| {
            let mut row = [0.0; 4];
            Noise::new(seed, 0).normal(Purpose::Prior, 0, text as u64, &mut row);
            row.iter().map(|value| centre + (spread * value) as f32).collect()
        };
        (0..count).map(draw).collect()
    }

    #[test]
    fn text_of_the_same_author_is_as_far_as_the_floor() {
        let told = compare(&cloud(1, 200, 0.0, 1.0), &cloud(2, 400, 0.0, 1.0)).unwrap();
        assert_eq!(told.texts, 200);
        assert!(told.frechet < 2.0 * told.frechet_floor, "{told:?}");
        assert!((told.mauve - told.mauve_ceiling).abs() < 0.05, "{told:?}");
    }

    #[test]
    fn another_centre_and_another_spread_are_far() {
        let human = cloud(2, 400, 0.0, 1.0);
        for generated in [cloud(1, 200, 2.0, 1.0), cloud(1, 200, 0.0, 0.1)] {
            let told = compare(&generated, &human).unwrap();
            assert!(told.frechet > 10.0 * told.frechet_floor, "{told:?}");
            assert!(told.mauve < told.mauve_ceiling - 0.3, "{told:?}");
        }
    }

    #[test]
    fn copies_of_the_reference_lie_below_the_floor() {
        let human = cloud(2, 400, 0.0, 1.0);
        let told = compare(&human, &human).unwrap();
        assert!(told.frechet < 0.6 * told.frechet_floor, "{told:?}");
        assert!(told.mauve > told.mauve_ceiling, "{told:?}");
    }

    #[test]
    fn what_cannot_be_compared_is_refused_in_a_sentence() {
        let told = |generated: &[Vec<f32>], human: &[Vec<f32>]| compare(generated, human).unwrap_err().to_string();
        let few = told(&cloud(1, 19, 0.0, 1.0), &cloud(2, 40, 0.0, 1.0));
        assert!(
            few.contains("19 generated and 40 human") && few.contains("at least 20 and 40"),
            "{few}"
        );
        let mut odd = cloud(1, 20, 0.0, 1.0);
        odd[3][1] = f32::NAN;
        assert!(told(&odd, &cloud(2, 40, 0.0, 1.0)).contains("generated text 3"));
    }
}
