//! Which tokens belong to common words of a text, and which to rare ones.

use std::collections::BTreeMap;

use drdiff_model::Frequency;

/// For each token of a text (its characters, token after token) how common its word is in that text. A word is a run of
/// letters and digits, whatever their case; it begins anew where a token does that follows or begins with anything else.
///
/// Words are common that occur at least as often as the one at which the most frequent make up half of all words, and
/// rare that occur at most as often as the one at which they make up nine tenths.
#[must_use]
pub fn word_frequencies(tokens: &[String]) -> Vec<Frequency> {
    let (words, of) = words(tokens);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    words.iter().for_each(|word| *counts.entry(word).or_default() += 1);
    let mut sizes: Vec<usize> = counts.values().copied().collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let (common, rare) = (reaching(&sizes, 5 * words.len()), reaching(&sizes, 9 * words.len()));
    let frequency = |word: &String| match counts[word.as_str()] {
        count if count >= common => Frequency::Common,
        count if count <= rare => Frequency::Rare,
        _ => Frequency::Other,
    };
    let classes: Vec<Frequency> = words.iter().map(frequency).collect();
    of.into_iter()
        .map(|word| word.map_or(Frequency::Other, |word| classes[word]))
        .collect()
}

/// The count at which counts, the greatest first, sum up to this many tenths.
fn reaching(counts: &[usize], tenths: usize) -> usize {
    let mut sum = 0;
    let reaches = |count: &&usize| {
        sum += **count;
        10 * sum >= tenths
    };
    counts.iter().find(reaches).copied().unwrap_or(0)
}

/// The words of a text in small letters, and to which of them each token belongs.
fn words(tokens: &[String]) -> (Vec<String>, Vec<Option<usize>>) {
    let (mut words, mut of): (Vec<String>, Vec<Option<usize>>) = (Vec::new(), Vec::with_capacity(tokens.len()));
    let mut inside = false;
    for token in tokens {
        let letters: String = token.chars().filter(|c| c.is_alphanumeric()).collect();
        let goes_on = inside && token.starts_with(char::is_alphanumeric);
        inside = token.ends_with(char::is_alphanumeric);
        of.push(match (letters.is_empty(), goes_on, words.last_mut()) {
            (true, ..) => None,
            (false, true, Some(word)) => {
                word.push_str(&letters.to_lowercase());
                Some(words.len() - 1)
            }
            _ => {
                words.push(letters.to_lowercase());
                Some(words.len() - 1)
            }
        });
    }
    (words, of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_classed_by_hand() {
        let text = ["The", " ki", "ng", " saw", " the", " king", ",", " the", " cat", "."];
        let tokens = text.map(str::to_owned);
        let (words, of) = words(&tokens);
        assert_eq!(words, ["the", "king", "saw", "the", "king", "the", "cat"]);
        assert_eq!(of[..4], [Some(0), Some(1), Some(1), Some(2)]);
        // 7 words: `the` 3, `king` 2 (5 of them: half), `cat` and `saw` 1 each (the last reaches nine tenths).
        use Frequency::{Common, Other, Rare};
        let want = [Common, Common, Common, Rare, Common, Common, Other, Common, Rare, Other];
        assert_eq!(word_frequencies(&tokens), want);
        assert_eq!(word_frequencies(&[]), []);
    }
}
