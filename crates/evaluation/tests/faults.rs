//! Planted faults: each moves the figure that is meant to see it.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use drdiff_evaluation::COMPARABLE;
use drdiff_evaluation::metrics::{Counts, Memory, self_bleu};
use drdiff_evaluation::{Judge, Result, perplexity};

use drdiff_evaluation::texts::{ContextGain, Reading, Text, TextSet, context_gain};

const STORIES: [&str; 3] = [
    "In the evening the miller went down to the river and counted his sacks. There were nine of them, and in the \
     morning there had been ten. He asked the cat, who had slept on the wall all day, but the cat only looked at the water.",
    "My sister kept a small red boat behind the barn, and nobody was allowed to touch it. When she went to the town for \
     work she gave me the key, and I rowed out that same night to see where the lights came from.",
    "Long ago a king had two gardeners who could not agree about anything. One of them planted roses wherever he stood, \
     and the other pulled them out again. So the garden stayed as it was, and the king never learned why.",
];

/// Words as ids, the same for the same word.
fn ids(text: &str, vocabulary: &mut Vec<String>) -> Vec<u32> {
    let id = |word: &str| match vocabulary.iter().position(|known| known == word) {
        Some(id) => id as u32,
        None => {
            vocabulary.push(word.to_owned());
            vocabulary.len() as u32 - 1
        }
    };
    text.split_whitespace().map(id).collect()
}

fn stories() -> Vec<Vec<u32>> {
    let mut vocabulary = Vec::new();
    STORIES.iter().map(|story| ids(story, &mut vocabulary)).collect()
}

/// The same words in another order: every seventh, then on from the next.
fn shuffled<T: Copy>(words: &[T]) -> Vec<T> {
    (0..7)
        .flat_map(|first| words.iter().skip(first).step_by(7).copied())
        .collect()
}

/// The first ten words of a text, over and over.
fn looped(words: &[u32]) -> Vec<u32> {
    words.iter().take(10).cycle().take(words.len()).copied().collect()
}

fn counts(texts: &[Vec<u32>]) -> Counts {
    Counts::of(texts.iter().map(Vec::as_slice)).unwrap()
}

/// A judge that knows which word follows which in the stories.
struct Bigrams {
    vocabulary: Vec<String>,
    counts: HashMap<[u32; 2], f64>,
}

impl Bigrams {
    fn new() -> Self {
        let (mut vocabulary, mut counts) = (Vec::new(), HashMap::new());
        for story in STORIES {
            for pair in ids(story, &mut vocabulary).windows(2) {
                *counts.entry([pair[0], pair[1]]).or_default() += 1.0;
            }
        }
        Self { vocabulary, counts }
    }
}

impl Judge for Bigrams {
    fn name(&self) -> &str {
        "bigrams"
    }

    fn hash(&self) -> &str {
        "bigrams"
    }

    fn context(&self) -> usize {
        1 << 20
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(ids(text, &mut self.vocabulary.clone()))
    }

    fn nats(&mut self, _: &[u32], ids: &[u32]) -> Result<f64> {
        let nats = |pair: &[u32]| -> f64 {
            let seen = self.counts.get(&[pair[0], pair[1]]).unwrap_or(&0.0);
            -((seen + 0.01) / 10.0_f64).ln()
        };
        Ok(ids.windows(2).map(nats).sum())
    }
}

/// A judge that expects words again which it has just read: of 1,000 words each is as likely, but for half of the
/// probability, which is shared by the words before.
struct Recent;

impl Judge for Recent {
    fn name(&self) -> &str {
        "recent words"
    }

    fn hash(&self) -> &str {
        "recent words"
    }

    fn context(&self) -> usize {
        200
    }

    /// The words of the tests are numbers.
    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(text.split_whitespace().map(|word| word.parse().unwrap()).collect())
    }

    fn nats(&mut self, before: &[u32], ids: &[u32]) -> Result<f64> {
        let all = [before, ids].concat();
        let nats = |at: usize| {
            let seen = all[..at].iter().filter(|word| **word == all[at]).count();
            -(0.5 / 1000.0 + 0.5 * seen as f64 / at.max(1) as f64).ln()
        };
        Ok((before.len()..all.len()).map(nats).sum())
    }
}

/// The halves of a text about a subject: every third word is one that all texts use, half of the others are new.
fn halves(subject: u32) -> [Vec<u32>; 2] {
    let word = |at: u32| match at % 3 {
        0 => at * 7 % 5,
        1 => 10 + 100 * subject + at * 5 % 9,
        _ => 20 + 100 * subject + at,
    };
    [(0..48).map(word).collect(), (48..96).map(word).collect()]
}

/// The gain of four texts, each of two halves.
fn gain(texts: impl Fn(u32) -> [Vec<u32>; 2]) -> ContextGain {
    let text = |subject| Text {
        prompt: Some(String::new()),
        text: texts(subject)
            .concat()
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(" "),
        stop_reason: None,
    };
    let set = TextSet {
        texts: (0..4).map(text).collect(),
        ..TextSet::default()
    };
    match context_gain(&set, &mut Recent, &AtomicBool::new(false), &mut |_, _| ()).unwrap() {
        Reading::Read(Some(gain)) => gain,
        other => panic!("{other:?}"),
    }
}

#[test]
fn halves_that_are_exchanged_lose_their_context_gain_and_copies_are_found() {
    let plain = gain(halves);
    assert_eq!((plain.texts, plain.half), (4, 48.0));
    assert!(plain.nats > 0.2 && plain.copied_4 < 0.05, "{plain:?}");
    let exchanged = gain(|subject| [halves(subject)[0].clone(), halves((subject + 2) % 4)[1].clone()]);
    assert!(exchanged.nats.abs() < 0.1 * plain.nats, "{exchanged:?}");
    let copied = gain(|subject| [halves(subject)[0].clone(), halves(subject)[0].clone()]);
    assert_eq!(copied.copied_4, 1.0);
    assert!(copied.nats > 2.0 * plain.nats, "{copied:?} and {plain:?}");
}

#[test]
fn shuffled_words_surprise_a_judge_and_keep_their_entropy() {
    let mut judge = Bigrams::new();
    let plain = judge.read("", STORIES[0]).unwrap();
    let words: Vec<&str> = STORIES[0].split_whitespace().collect();
    let mixed = judge.read("", &shuffled(&words).join(" ")).unwrap();
    let [plain, mixed] = [plain, mixed].map(|read| perplexity(&[read]).unwrap().0);
    assert!(mixed > 5.0 * plain, "{plain} and {mixed}");
    let texts = stories();
    let others: Vec<Vec<u32>> = texts.iter().map(|text| shuffled(text)).collect();
    assert!((counts(&texts).entropy - counts(&others).entropy).abs() < 1e-12);
}

#[test]
fn a_loop_loses_entropy_and_different_n_grams_and_repeats_itself_later() {
    let texts = stories();
    let loops: Vec<Vec<u32>> = texts.iter().map(|text| looped(text)).collect();
    let (plain, looped) = (counts(&texts), counts(&loops));
    assert!(
        looped.entropy < plain.entropy - COMPARABLE,
        "so the two are never ranked"
    );
    for n in 0..4 {
        assert!(
            looped.distinct[n].unwrap() < 0.5 * plain.distinct[n].unwrap(),
            "{}-grams",
            n + 1
        );
    }
    assert!(plain.repeated_4.all.unwrap() < 0.05 && looped.repeated_4.all.unwrap() > 0.6);
    let [first, .., last] = looped.repeated_4.by_quarter.map(Option::unwrap);
    assert!(first < 0.5 && last == 1.0, "{first} and {last}");
}

#[test]
fn texts_that_say_the_same_resemble_each_other() {
    let texts = stories();
    let slices: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let plain = self_bleu(&slices).unwrap();
    let same = self_bleu(&[slices[0], slices[0], slices[1]]).unwrap();
    assert!(plain < 0.3 && same > plain + 0.3, "{plain} and {same}");
    assert_eq!(
        counts(&texts[..1]).entropy,
        counts(&[texts[0].clone(), texts[0].clone()]).entropy
    );
}

#[test]
fn copied_text_is_found_in_the_training_text_and_shuffled_text_is_not() {
    let texts = stories();
    let found = |text: &[u32]| {
        let mut memory = Memory::of([text].into_iter());
        texts.iter().for_each(|story| memory.read(story));
        memory.finish()
    };
    let copied = found(&texts[1]);
    assert_eq!((copied.share_8, copied.share_16), (Some(1.0), Some(1.0)));
    assert_eq!(copied.longest_run, texts[1].len());
    let own = found(&shuffled(&texts[1]));
    assert_eq!((own.share_8, own.share_16, own.longest_run), (Some(0.0), Some(0.0), 0));
}
