//! Made-up windows that cannot be predicted without what stands far away in them: what retrieval learns to copy from.
//!
//! In text a position is mostly explained by its neighbours, and of a made-up text only the answers can be predicted at all.
//! So an exercise says which of its positions are open; everything else in it is an anchor and weighs nothing.

mod copy;
mod recall;

use drdiff_data::Tokenizer;
use drdiff_diffusion::Levels;
use drdiff_noise::{Noise, NoiseStream, Purpose};
use serde::{Deserialize, Serialize};

use crate::range::Range;
use crate::{Error, Result};

/// Which windows are exercises. They are made for passes whose block is the whole window, where what is asked for may
/// stand to either side; passes in smaller blocks read the corpus alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exercises {
    /// Share of the windows that say numbers and ask for them, in `[0, 1]`.
    pub recall: f64,
    /// Share of the windows that hold a stretch twice, in `[0, 1]`.
    pub copy: f64,
    /// Fewest and most numbers that a window says; at most half of a window is made of them and their questions.
    pub needles: [usize; 2],
    /// How often each is asked for.
    pub questions: usize,
    /// Most keys between the one that is asked for and the one whose number is said: each of them stands for another.
    pub hops: usize,
}

impl Default for Exercises {
    /// None.
    fn default() -> Self {
        Self {
            recall: 0.0,
            copy: 0.0,
            needles: [8, 32],
            questions: 2,
            hops: 0,
        }
    }
}

/// A made-up window.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Exercise {
    /// ASCII.
    text: String,
    /// The bytes that are asked for, ascending.
    open: Vec<usize>,
}

impl Exercises {
    /// Checks the numbers for windows of `context` tokens.
    ///
    /// # Errors
    /// Names the first that makes no sense.
    pub fn validate(&self, context: usize) -> Result<()> {
        let Self { recall, copy, .. } = *self;
        Range::Share.check_all([("exercises.recall", recall), ("exercises.copy", copy)])?;
        if recall + copy > 1.0 {
            return Err(Error::Config(format!(
                "`exercises.recall` is {recall} and `exercises.copy` is {copy}; they are shares whose sum is at most 1"
            )));
        }
        match recall + copy > 0.0 {
            true => recall::check(context, self),
            false => Ok(()),
        }
    }

    /// Window `index` of pass `key` with `len` bytes, if it is an exercise.
    fn draw(&self, noise: &Noise, (key, index): (u64, u64), len: usize) -> Result<Option<Exercise>> {
        let mut stream: NoiseStream = noise.stream(Purpose::Exercise, key, index);
        let kind = stream.uniform();
        Ok(if kind < self.recall {
            Some(recall::recall(&mut stream, len, self)?)
        } else if kind < self.recall + self.copy {
            Some(copy::copy(&mut stream, len))
        } else {
            None
        })
    }
}

/// Makes the exercises of a run.
#[derive(Debug)]
pub(crate) struct Drill {
    exercises: Exercises,
    /// The token of each ASCII byte.
    ids: Vec<u32>,
    noise: Noise,
}

impl Drill {
    /// For a tokenizer with one token for each byte; `None` if there are no exercises.
    ///
    /// # Errors
    /// If the tokenizer has longer tokens, whose text would be spelled as it never is elsewhere.
    pub(crate) fn new(exercises: Exercises, tokenizer: &Tokenizer, noise: Noise) -> Result<Option<Self>> {
        if exercises.recall + exercises.copy == 0.0 {
            return Ok(None);
        }
        let mut ids = Vec::with_capacity(128);
        for byte in 0..128u8 {
            let spelled = tokenizer.encode(&char::from(byte).to_string());
            ids.extend(spelled.map_err(drdiff_model::Error::from)?.first().copied());
        }
        let longer = (0..tokenizer.vocab_size() as u32).any(|id| tokenizer.bytes_of(id).len() > 1);
        if longer || ids.len() != 128 {
            return Err(Error::Config(
                "`exercises` need a token for each byte and no longer ones; prepare the corpus with `--vocab 257`"
                    .to_owned(),
            ));
        }
        Ok(Some(Self { exercises, ids, noise }))
    }

    /// Writes the exercises of pass `key` over `tokens` and `levels` of windows of `len` tokens. Each weighs as much as half a
    /// window of text, however few its open positions are.
    ///
    /// # Errors
    /// If one does not fit.
    pub(crate) fn write(&self, key: u64, len: usize, tokens: &mut [u32], levels: &mut Levels) -> Result<()> {
        let windows = tokens.chunks_mut(len).zip(levels.snr.chunks_mut(len));
        for (index, ((tokens, snr), weight)) in windows.zip(levels.weight.chunks_mut(len)).enumerate() {
            let Some(exercise) = self.exercises.draw(&self.noise, (key, index as u64), len)? else {
                continue;
            };
            for (token, byte) in tokens.iter_mut().zip(exercise.text.bytes()) {
                *token = self.ids[byte as usize];
            }
            snr.fill(f32::INFINITY);
            weight.fill(0.0);
            let share = 0.5 * len as f32 / exercise.open.len().max(1) as f32;
            for position in exercise.open {
                (snr[position], weight[position]) = (0.0, share);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exercises(recall: f64, copy: f64) -> Vec<Exercise> {
        let exercises = Exercises {
            recall,
            copy,
            ..Exercises::default()
        };
        let noise = Noise::new(4, 0);
        let draw = |index| exercises.draw(&noise, (7, index), 1024).unwrap().unwrap();
        (0..20).map(draw).collect()
    }

    #[test]
    fn every_number_that_is_asked_for_is_said_once() {
        for Exercise { text, open } in exercises(1.0, 0.0) {
            assert_eq!(text.len(), 1024);
            let said: Vec<&str> = text.match_indices('=').map(|(at, _)| &text[at - 3..at + 9]).collect();
            assert!(said.len() >= 8);
            for (at, _) in text.match_indices('?') {
                let statement = format!("{}={}", &text[at - 3..at], &text[at + 1..at + 9]);
                assert_eq!(said.iter().filter(|other| **other == statement).count(), 1);
                assert!(open.iter().any(|open| (at + 1..at + 9).contains(open)));
            }
            let asked = |open: &usize| text[..*open].rfind('?').is_some_and(|at| open - at <= 8);
            assert!(open.iter().all(asked) && open.is_sorted());
        }
    }

    #[test]
    fn a_key_that_is_asked_for_leads_to_a_number() {
        let exercises = Exercises {
            recall: 1.0,
            hops: 2,
            ..Exercises::default()
        };
        let mut lengths = [0; 3];
        for index in 0..20 {
            let Exercise { text, open } = exercises.draw(&Noise::new(4, 0), (7, index), 1024).unwrap().unwrap();
            for (at, _) in text.match_indices('?') {
                let (mut key, mut hops) = (&text[at - 3..at], 0);
                let value = loop {
                    let said = text.find(&format!("{key}=")).unwrap() + 4;
                    if text.as_bytes()[said].is_ascii_digit() {
                        break &text[said..said + 8];
                    }
                    (key, hops) = (&text[said..said + 3], hops + 1);
                };
                lengths[hops] += 1;
                assert_eq!(value, &text[at + 1..at + 9]);
                assert!(open.iter().any(|open| (at + 1..at + 9).contains(open)));
            }
        }
        assert!(lengths.iter().all(|count| *count > 0), "{lengths:?}");
    }

    #[test]
    fn every_gap_of_a_copy_stands_elsewhere() {
        for Exercise { text, open } in exercises(0.0, 1.0) {
            assert_eq!(text.len(), 1024);
            // The stretch is the longest that stands twice.
            let twice = |len: usize| (0..=1024 - 2 * len).find(|at| text[at + len..].contains(&text[*at..at + len]));
            let len = (256..512).rev().find(|len| twice(*len).is_some()).unwrap();
            let first = twice(len).unwrap();
            let second = first + len + text[first + len..].find(&text[first..first + len]).unwrap();
            assert!(open.len() > 40, "{}", open.len());
            for at in &open {
                let other = match (first..first + len).contains(at) {
                    true => at - first + second,
                    false => at - second + first,
                };
                assert!(!open.contains(&other) && text.as_bytes()[*at] == text.as_bytes()[other]);
            }
        }
    }

    #[test]
    fn shares_are_kept_and_windows_are_those_of_their_key() {
        let exercises = Exercises {
            recall: 0.5,
            copy: 0.2,
            ..Exercises::default()
        };
        let noise = Noise::new(4, 0);
        let drawn: Vec<_> = (0..1000)
            .map(|index| exercises.draw(&noise, (3, index), 256).unwrap())
            .collect();
        let recalls = drawn.iter().flatten().filter(|drawn| drawn.text.contains('?')).count();
        let copies = drawn.iter().flatten().count() - recalls;
        assert!(
            (440..560).contains(&recalls) && (150..250).contains(&copies),
            "{recalls} {copies}"
        );
        assert_eq!(drawn[5], exercises.draw(&noise, (3, 5), 256).unwrap());
    }
}
