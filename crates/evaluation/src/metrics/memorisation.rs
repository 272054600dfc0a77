//! How much of the texts stands in the training text, word for word.
//!
//! The n-grams of the *written* texts are kept, as hashes, and the training text streams past them: memory grows
//! with what was written, not with what was read in training.

use std::collections::HashMap;

use serde::Serialize;

use super::share;

/// Lengths of the n-grams whose shares are told.
const GRAMS: [usize; 2] = [8, 16];
/// A run is found from this many tokens on.
const SEED: usize = GRAMS[0];
/// Base of the rolling hash: odd, with bits all over (the golden ratio's, as in Knuth's multiplicative hashing).
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// What of a set of texts stands in the training text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Memorisation {
    /// Share of all 8-grams of the texts that occur in the training text; `None` where no text has one.
    pub share_8: Option<f64>,
    /// Share of all 16-grams.
    pub share_16: Option<f64>,
    /// Texts that have an 8-gram, and those that have a 16-gram.
    pub texts: [usize; 2],
    /// Tokens of the longest run of a text that stands in the training text; 0 if none reaches 8.
    pub longest_run: usize,
    /// Tokens of training text that were read.
    pub training_tokens: u64,
}

/// The texts, while training text streams past them.
#[derive(Debug)]
pub struct Memory<'a> {
    texts: Vec<&'a [u32]>,
    /// For each of [`GRAMS`]: the n-grams of the texts by hash, and whether they were met.
    grams: [HashMap<u64, bool>; 2],
    /// Where the 8-grams of each hash begin, as text and place, to measure runs.
    places: HashMap<u64, Vec<(usize, usize)>>,
    longest: usize,
    read: u64,
}

impl<'a> Memory<'a> {
    /// Keeps the n-grams of texts.
    #[must_use]
    pub fn of(texts: impl Iterator<Item = &'a [u32]>) -> Self {
        let texts: Vec<&[u32]> = texts.collect();
        let grams = GRAMS.map(|n| {
            let of_text = |text: &&'a [u32]| hashes(text, n).collect::<Vec<_>>();
            texts.iter().flat_map(of_text).map(|hash| (hash, false)).collect()
        });
        let mut places: HashMap<u64, Vec<(usize, usize)>> = HashMap::new();
        for (index, text) in texts.iter().enumerate() {
            for (place, hash) in hashes(text, SEED).enumerate() {
                places.entry(hash).or_default().push((index, place));
            }
        }
        Self {
            texts,
            grams,
            places,
            longest: 0,
            read: 0,
        }
    }

    /// Reads one document of the training text.
    pub fn read(&mut self, document: &[u32]) {
        self.read += document.len() as u64;
        for (grams, n) in self.grams.iter_mut().zip(GRAMS) {
            for hash in hashes(document, n) {
                if let Some(met) = grams.get_mut(&hash) {
                    *met = true;
                }
            }
        }
        for (start, hash) in hashes(document, SEED).enumerate() {
            for (index, place) in self.places.get(&hash).into_iter().flatten() {
                let text = self.texts[*index];
                // Inside of a run that is already measured: it began one token before.
                if start > 0 && *place > 0 && document[start - 1] == text[place - 1] {
                    continue;
                }
                let run = document[start..].iter().zip(&text[*place..]);
                self.longest = self.longest.max(run.take_while(|(a, b)| a == b).count());
            }
        }
    }

    /// What was found. Runs shorter than 8 tokens count as none.
    #[must_use]
    pub fn finish(self) -> Memorisation {
        let [share_8, share_16] = [0, 1].map(|which| {
            let met = &self.grams[which];
            let all: Vec<bool> = self
                .texts
                .iter()
                .flat_map(|text| hashes(text, GRAMS[which]))
                .map(|hash| met.get(&hash).copied().unwrap_or(false))
                .collect();
            share(all.iter().filter(|met| **met).count(), all.len())
        });
        let texts = GRAMS.map(|n| self.texts.iter().filter(|text| text.len() >= n).count());
        Memorisation {
            texts,
            share_8,
            share_16,
            longest_run: if self.longest < SEED { 0 } else { self.longest },
            training_tokens: self.read,
        }
    }
}

/// Hash of each n-gram, by a polynomial that rolls from one to the next (Karp and Rabin, 1987), modulo 2^64 and mixed.
fn hashes(ids: &[u32], n: usize) -> impl Iterator<Item = u64> + '_ {
    let leaving = (0..n).fold(1u64, |power, _| power.wrapping_mul(BASE));
    let mut hash = 0u64;
    ids.iter().enumerate().filter_map(move |(place, id)| {
        hash = hash.wrapping_mul(BASE).wrapping_add(scrambled(*id));
        if place >= n {
            hash = hash.wrapping_sub(leaving.wrapping_mul(scrambled(ids[place - n])));
        }
        (place + 1 >= n).then_some(hash)
    })
}

/// The finaliser of SplitMix64 (Steele et al., OOPSLA 2014): ids that are near get numbers that are not.
fn scrambled(id: u32) -> u64 {
    let mut z = u64::from(id).wrapping_add(1).wrapping_mul(BASE);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_roll() {
        let ids: Vec<u32> = (0..40).map(|i| i * i % 7).collect();
        for n in GRAMS {
            let rolled: Vec<u64> = hashes(&ids, n).collect();
            let alone: Vec<u64> = ids.windows(n).flat_map(|gram| hashes(gram, n)).collect();
            assert_eq!(rolled, alone);
        }
        assert_eq!(hashes(&ids[..7], 8).count(), 0);
    }

    #[test]
    fn a_copied_run_is_measured() {
        // 20 of 40 tokens are copied: 13 of 33 8-grams, 5 of 25 16-grams.
        let training: Vec<u32> = (100..200).collect();
        let text: Vec<u32> = (0..10).chain(130..150).chain(10..20).collect();
        let mut memory = Memory::of([text.as_slice(), &[]].into_iter());
        memory.read(&training[..50]);
        memory.read(&training);
        let found = memory.finish();
        assert_eq!((found.share_8, found.share_16), (Some(13.0 / 33.0), Some(5.0 / 25.0)));
        assert_eq!((found.longest_run, found.training_tokens), (20, 150));
    }

    #[test]
    fn text_of_its_own_copies_nothing() {
        let mut memory = Memory::of([&[1, 2, 3, 4, 5, 6, 7, 8, 9][..]].into_iter());
        // Seven tokens in common are too few.
        memory.read(&[1, 2, 3, 4, 5, 6, 7, 0, 9, 8]);
        let found = memory.finish();
        assert_eq!((found.share_8, found.share_16, found.longest_run), (Some(0.0), None, 0));
        assert_eq!(found.texts, [1, 0]);
    }
}
