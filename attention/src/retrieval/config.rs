//! The numbers of a network that retrieves chunks.

use serde::{Deserialize, Serialize};

use super::{CHUNK, band};
use crate::length_adaptive::FARTHEST;
use crate::{Error, LengthAdaptive, Result};

/// How a network attends: a band of neighbours in every layer, and retrieved chunks in some.
///
/// The lower half of the layers reads the band alone. What it makes of the text is encoded chunk by chunk, once; the
/// first layer of each group in the upper half chooses among the chunks and reads them (arXiv 2511.23319, section 3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retrieval {
    /// Chunks of 64 positions that rows choose.
    pub top_k: usize,
    /// Rows that choose together, next to each other in one chunk and one block: 64 for all of them, which costs least, 1 for each
    /// by itself, as in the papers. A divisor of 64.
    pub together: usize,
    /// Positions that are read to each side anyway, a multiple of 64.
    pub local: usize,
    /// Groups of layers in the upper half.
    pub groups: usize,
    /// Width of landmarks, and of the queries that look for them.
    pub landmark: usize,
}

impl Default for Retrieval {
    fn default() -> Self {
        Self {
            top_k: 8,
            together: CHUNK,
            local: 128,
            groups: 2,
            landmark: 128,
        }
    }
}

impl Retrieval {
    /// Checks the numbers for texts of `context` positions.
    ///
    /// # Errors
    /// Names the first that is impossible.
    pub fn validate(&self, context: usize) -> Result<()> {
        let wrong = |what: String| Err(Error::Retrieval(what));
        let sizes = [
            ("top_k", self.top_k),
            ("groups", self.groups),
            ("landmark", self.landmark),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return wrong(format!("`{name}` 0; give at least 1"));
        }
        if let Some((name, size)) = sizes
            .iter()
            .chain(&[("local", self.local)])
            .find(|(_, size)| *size > FARTHEST)
        {
            return wrong(format!("`{name}` {size}; give at most {FARTHEST}"));
        }
        if self.together == 0 || !CHUNK.is_multiple_of(self.together) {
            return wrong(format!(
                "{} rows that choose `together`; give a divisor of {CHUNK}",
                self.together
            ));
        }
        if self.local == 0 || !self.local.is_multiple_of(CHUNK) {
            return wrong(format!(
                "a band of {} positions to each side; give a multiple of {CHUNK}",
                self.local
            ));
        }
        if !context.is_multiple_of(CHUNK) || context < self.local + 2 * CHUNK {
            return wrong(format!(
                "training texts of {context} positions; give a multiple of {CHUNK} from {} on, so that there is \
                 something to retrieve behind the band",
                self.local + 2 * CHUNK
            ));
        }
        Ok(())
    }

    /// The layers, of `depth`, that retrieve; what the chunks are made of is the stream before layer `depth / 2`.
    ///
    /// # Errors
    /// If there are fewer layers in the upper half than groups.
    pub fn layers(&self, depth: usize) -> Result<Vec<usize>> {
        let (lower, groups) = (depth / 2, self.groups);
        let upper = depth - lower;
        if groups > upper {
            return Err(Error::Retrieval(format!(
                "{groups} groups in an upper half of {upper} layers; give at most {upper}"
            )));
        }
        Ok((0..groups).map(|group| lower + group * upper / groups).collect())
    }

    /// The plan of the band.
    #[must_use]
    pub fn band(&self) -> LengthAdaptive {
        band(self.local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_divide_the_upper_half() {
        let layers = |groups, depth| {
            let numbers = Retrieval {
                groups,
                ..Retrieval::default()
            };
            numbers.layers(depth)
        };
        assert_eq!(layers(2, 8).unwrap(), [4, 6]);
        assert_eq!(layers(2, 12).unwrap(), [6, 9]);
        assert_eq!(layers(3, 12).unwrap(), [6, 8, 10]);
        assert_eq!(layers(2, 3).unwrap(), [1, 2]);
        assert_eq!(layers(1, 1).unwrap(), [0]);
        assert!(layers(2, 2).unwrap_err().to_string().contains("at most 1"));
    }

    #[test]
    fn impossible_numbers_are_refused() {
        let message = |change: fn(&mut Retrieval), context| {
            let mut numbers = Retrieval::default();
            change(&mut numbers);
            numbers.validate(context).unwrap_err().to_string()
        };
        assert!(Retrieval::default().validate(256).is_ok());
        assert!(message(|n| n.top_k = 0, 256).contains("`top_k` 0"));
        assert!(message(|n| n.together = 0, 256).contains("divisor of 64"));
        assert!(message(|n| n.together = 48, 256).contains("48 rows"));
        assert!(message(|n| n.local = 100, 256).contains("multiple of 64"));
        assert!(message(|_| (), 192).contains("from 256 on"));
        assert!(message(|_| (), 300).contains("multiple of 64"));
    }
}
