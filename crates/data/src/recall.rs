//! Texts in which something is said once and asked for much later: what retrieval is learned and measured on.
//!
//! The needle in a haystack of random words (RULER, Hsieh et al., arXiv 2404.06654), with keys and values as in its
//! multi-key form. Everything is ASCII, so that the tokens of a byte-level vocabulary without merges are its bytes.

use std::collections::HashSet;

use drdiff_noise::{Noise, NoiseStream, Purpose};

use super::error::DataError;

/// Letters of a key.
const KEY: usize = 3;
/// Digits of a value.
pub const VALUE: usize = 8;

/// A value and its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle {
    /// Capital letters, at least one key: the value is that of the first, and each other stands for the one before it, as the
    /// variables of RULER do. The last is asked for.
    pub keys: Vec<String>,
    /// Digits.
    pub value: String,
}

impl Needle {
    /// `count` needles with `1 + hops` keys each, all different: of two values of one key a question could mean either.
    ///
    /// # Errors
    /// If there are too many to draw different keys of three letters.
    pub fn draw_many(stream: &mut NoiseStream, count: usize, hops: usize) -> Result<Vec<Self>, DataError> {
        const MOST: usize = 26_usize.pow(KEY as u32) / 2;
        if count.saturating_mul(hops.saturating_add(1)) > MOST {
            return Err(DataError::Option {
                name: "needles",
                range: "few enough to have keys of their own",
                value: format!("{count} with {hops} hops"),
            });
        }
        let mut drawn: Vec<Self> = Vec::with_capacity(count);
        let mut known = HashSet::new();
        while drawn.len() < count {
            let needle = Self::draw(stream, hops);
            let keys: HashSet<String> = needle.keys.iter().cloned().collect();
            if keys.len() == needle.keys.len() && known.is_disjoint(&keys) {
                known.extend(keys);
                drawn.push(needle);
            }
        }
        Ok(drawn)
    }

    fn draw(stream: &mut NoiseStream, hops: usize) -> Self {
        let mut letters = |count: usize, first: u8, kinds: usize| -> String {
            let letter = |_| char::from(first + stream.below(kinds) as u8);
            (0..count).map(letter).collect()
        };
        let first = letters(KEY, b'A', 26);
        let value = letters(VALUE, b'0', 10);
        let others = (0..hops).map(|_| letters(KEY, b'A', 26));
        Self {
            keys: std::iter::once(first).chain(others).collect(),
            value,
        }
    }

    /// How the value is said: of its first key, and of each other that it is the one before.
    #[must_use]
    pub fn statements(&self) -> Vec<String> {
        let said = std::iter::once(&self.value).chain(&self.keys);
        let pairs = self.keys.iter().zip(said);
        pairs.map(|(key, said)| format!(" {key}={said};")).collect()
    }

    /// How it is asked for; the value follows.
    #[must_use]
    pub fn question(&self) -> String {
        format!(" {}?", self.keys.last().map_or("", String::as_str))
    }

    /// Question and answer.
    #[must_use]
    pub fn answered(&self) -> String {
        format!("{}{};", self.question(), self.value)
    }
}

/// Words of small letters, `bytes` bytes with a space before each word.
#[must_use]
pub fn hay(stream: &mut NoiseStream, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes);
    let mut left = 0;
    while text.len() < bytes {
        if left == 0 {
            left = 2 + stream.below(6);
            text.push(' ');
        } else {
            text.push(char::from(b'a' + stream.below(26) as u8));
            left -= 1;
        }
    }
    text
}

/// A text of `bytes` bytes that says `needles` values in its first half and asks for each in its second half.
///
/// Where they stand is random; `seed` and `index` decide everything.
///
/// # Errors
/// If the needles do not fit.
pub fn recall_text(seed: u64, index: u64, bytes: usize, needles: usize) -> Result<String, DataError> {
    let mut stream = Noise::new(seed, 0).stream(Purpose::Data, index, 0);
    let mut said = Needle::draw_many(&mut stream, needles, 0)?;
    let statements: Vec<String> = said.iter().flat_map(Needle::statements).collect();
    stream.shuffle(&mut said);
    let answers: Vec<String> = said.iter().map(Needle::answered).collect();
    let half = bytes / 2;
    let (said, _) = spread(&mut stream, &statements, half)?;
    let (asked, _) = spread(&mut stream, &answers, bytes - half)?;
    Ok(said + &asked)
}

/// The `parts` in their order with hay between them, `bytes` bytes in all, and where each part begins.
///
/// # Errors
/// If the parts do not fit.
pub fn spread(stream: &mut NoiseStream, parts: &[String], bytes: usize) -> Result<(String, Vec<usize>), DataError> {
    let needed: usize = parts.iter().map(String::len).sum();
    let Some(room) = bytes.checked_sub(needed) else {
        return Err(DataError::Option {
            name: "needles",
            range: "few enough to fit half of a text",
            value: format!("{} in {bytes} bytes", parts.len()),
        });
    };
    let mut cuts: Vec<usize> = parts.iter().map(|_| stream.below(room + 1)).collect();
    cuts.sort_unstable();
    let mut text = String::with_capacity(bytes);
    let mut places = Vec::with_capacity(parts.len());
    let mut before = 0;
    for (part, cut) in parts.iter().zip(cuts) {
        text += &hay(stream, cut - before);
        places.push(text.len());
        text += part;
        before = cut;
    }
    text += &hay(stream, room - before);
    Ok((text, places))
}

/// A prompt that ends with a question, in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Haystack {
    /// Hay before the statement, the statement, and what follows: hay and the question.
    pub parts: [String; 3],
    /// What should be written next.
    pub answer: String,
}

/// A prompt of `bytes` bytes with one statement at `depth`, 0 for the beginning and 1 for the end of the hay.
///
/// # Errors
/// If statement and question do not fit, or the depth is not in [0, 1].
pub fn haystack(seed: u64, index: u64, bytes: usize, depth: f64) -> Result<Haystack, DataError> {
    let refuse = |name, range, value: String| Err(DataError::Option { name, range, value });
    if !(0.0..=1.0).contains(&depth) {
        return refuse("depth", "between 0 and 1", depth.to_string());
    }
    let mut stream = Noise::new(seed, 1).stream(Purpose::Data, index, 0);
    let needle = Needle::draw(&mut stream, 0);
    let (statement, question) = (needle.statements().concat(), needle.question());
    let Some(room) = bytes.checked_sub(statement.len() + question.len()) else {
        return refuse(
            "length",
            "long enough for a statement and a question",
            bytes.to_string(),
        );
    };
    let before = (room as f64 * depth) as usize;
    let parts = [
        hay(&mut stream, before),
        statement,
        hay(&mut stream, room - before) + &question,
    ];
    Ok(Haystack {
        parts,
        answer: needle.value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_said_once_and_asked_for_once() {
        let text = recall_text(3, 5, 2000, 20).unwrap();
        assert_eq!(text.len(), 2000);
        assert_eq!(text, recall_text(3, 5, 2000, 20).unwrap());
        assert_ne!(text, recall_text(3, 6, 2000, 20).unwrap());
        let (said, asked) = text.split_at(1000);
        assert_eq!(said.matches('=').count(), 20);
        assert_eq!(asked.matches('?').count(), 20);
        for (at, _) in said.match_indices('=') {
            let (key, value) = (&said[at - KEY..at], &said[at + 1..at + 1 + VALUE]);
            assert!(asked.contains(&format!(" {key}?{value};")), "{key}");
        }
        assert!(recall_text(3, 5, 500, 20).is_err());
    }

    #[test]
    fn a_key_that_stands_for_another_is_said_to() {
        let mut stream = Noise::new(1, 0).stream(Purpose::Data, 0, 0);
        assert!(Needle::draw_many(&mut stream, 3, 10_000).is_err());
        let drawn = Needle::draw_many(&mut stream, 100, 2).unwrap();
        let keys: HashSet<&String> = drawn.iter().flat_map(|needle| &needle.keys).collect();
        assert_eq!(keys.len(), 300);
        let Needle { keys, value } = &drawn[7];
        let [a, b, c] = [0, 1, 2].map(|key| &keys[key]);
        let said = [format!(" {a}={value};"), format!(" {b}={a};"), format!(" {c}={b};")];
        assert_eq!(drawn[7].statements(), said);
        assert_eq!(drawn[7].answered(), format!(" {c}?{value};"));
    }

    #[test]
    fn a_haystack_hides_its_needle_where_it_should() {
        for (depth, before) in [(0.0, 0), (0.5, 490), (1.0, 981)] {
            let Haystack { parts, answer } = haystack(1, 2, 1000, depth).unwrap();
            assert_eq!(parts.iter().map(String::len).sum::<usize>(), 1000);
            assert_eq!(parts[0].len(), before);
            assert!(parts[1].ends_with(&format!("={answer};")));
            assert_eq!(parts[2][parts[2].len() - 5..], format!("{}?", &parts[1][..4]));
        }
        assert!(haystack(1, 2, 10, 0.5).is_err());
        assert!(haystack(1, 2, 100, 1.5).is_err());
    }
}
