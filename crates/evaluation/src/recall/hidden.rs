//! Texts in which numbers are hidden, and asked for at one end.

use std::ops::Range;

use drdiff_data::Tokenizer;
use drdiff_data::{DataError, Needle, hay};
use drdiff_noise::{Noise, NoiseStream, Purpose};

use super::{RecallError, Side, WholeTask};

/// A haystack in tokens, over which prompts are written and taken back.
pub(super) struct Haystack {
    /// The vocabulary's size, which stands for what is to be filled in.
    gap: u32,
    clean: Vec<u32>,
    text: Vec<u32>,
}

/// A prompt over a haystack.
pub(super) struct Hidden {
    /// Everything that differs from the haystack: statements, then the questions.
    pub(super) changed: Vec<Range<usize>>,
    /// For each question where its value was said, where its answer belongs, and the answer.
    pub(super) questions: Vec<(Range<usize>, Range<usize>, Vec<u32>)>,
}

impl Haystack {
    /// Hay of `len` bytes, which are tokens; `seed` and `index` decide it.
    pub(super) fn new(tokenizer: &Tokenizer, seed: u64, index: u64, len: usize) -> Result<Self, RecallError> {
        let mut stream = Noise::new(seed, 2).stream(Purpose::Data, index, 0);
        let clean = tokenizer.encode(&hay(&mut stream, len))?;
        if clean.len() != len {
            return Err(refuse(
                "the model",
                "one with a token for each byte",
                "of longer tokens",
            ));
        }
        Ok(Self {
            gap: tokenizer.vocab_size() as u32,
            text: clean.clone(),
            clean,
        })
    }

    /// The inputs of all positions.
    pub(super) fn text(&self) -> &[u32] {
        &self.text
    }

    /// Hides the numbers of `task`, the first at `depth` of what is left of the text beside the questions and the others anywhere,
    /// and asks for the first of them at the end of the text that lies on the other side.
    pub(super) fn hide(
        &mut self,
        tokenizer: &Tokenizer,
        task: &WholeTask,
        index: u64,
        (side, depth): (Side, f64),
    ) -> Result<Hidden, RecallError> {
        let (needles, asked, hops) = (task.needles.max(task.asked), task.asked, task.hops);
        let mut stream = Noise::new(task.seed, 3).stream(Purpose::Data, index, 0);
        let drawn = Needle::draw_many(&mut stream, needles, hops)?;
        // A space behind each, since what is behind it begins within a word.
        let said = drawn.iter().flat_map(Needle::statements);
        let statements: Vec<String> = said.map(|statement| statement + " ").collect();
        let questions: Vec<String> = drawn[..asked].iter().map(|needle| needle.answered() + " ").collect();
        let (len, block) = (self.clean.len(), questions.iter().map(String::len).sum::<usize>());
        let places = places(&mut stream, &statements, len.saturating_sub(block), depth);
        let Some(places) = places.filter(|_| block < len) else {
            let value = format!("{needles} in {len} bytes");
            return Err(refuse("needles", "few enough to stand apart in the text", &value));
        };
        let (shift, mut at) = match side {
            Side::Left => (0, len - block),
            Side::Right => (block, 0),
        };
        let mut hidden = Hidden {
            changed: Vec::with_capacity(statements.len() + 1),
            questions: Vec::with_capacity(asked),
        };
        for (statement, place) in statements.iter().zip(places) {
            let first = place + shift;
            self.write(tokenizer, first, statement)?;
            hidden.changed.push(first..first + statement.len());
        }
        hidden.changed.push(at..at + block);
        let values: Vec<Range<usize>> = hidden.changed.iter().step_by(1 + hops).cloned().collect();
        for ((question, needle), said) in questions.iter().zip(&drawn).zip(values) {
            self.write(tokenizer, at, question)?;
            let first = at + needle.question().len();
            let answer = first..first + needle.value.len();
            let ids = self.text[answer.clone()].to_vec();
            self.text[answer.clone()].fill(self.gap);
            // Without its two spaces.
            let said = said.start + 1..said.end - 1;
            hidden.questions.push((said, answer, ids));
            at += question.len();
        }
        Ok(hidden)
    }

    /// Takes a prompt back.
    pub(super) fn restore(&mut self, hidden: &Hidden) {
        for changed in &hidden.changed {
            self.text[changed.clone()].copy_from_slice(&self.clean[changed.clone()]);
        }
    }

    fn write(&mut self, tokenizer: &Tokenizer, at: usize, text: &str) -> Result<(), RecallError> {
        let ids = tokenizer.encode(text)?;
        self.text[at..at + ids.len()].copy_from_slice(&ids);
        Ok(())
    }
}

/// Where statements begin in `len` bytes, the first at `depth`; `None` if there is no room.
fn places(stream: &mut NoiseStream, statements: &[String], len: usize, depth: f64) -> Option<Vec<usize>> {
    const TRIES: usize = 1000;
    let mut places: Vec<Range<usize>> = Vec::with_capacity(statements.len());
    for statement in statements {
        let room = len.checked_sub(statement.len())?;
        let place = match places.as_slice() {
            [] => Some((room as f64 * depth) as usize),
            taken => (0..TRIES).map(|_| stream.below(room + 1)).find(|place| {
                let end = place + statement.len();
                taken.iter().all(|other| end <= other.start || other.end <= *place)
            }),
        }?;
        places.push(place..place + statement.len());
    }
    Some(places.into_iter().map(|place| place.start).collect())
}

fn refuse(name: &'static str, range: &'static str, value: &str) -> RecallError {
    let value = value.to_owned();
    DataError::Option { name, range, value }.into()
}
