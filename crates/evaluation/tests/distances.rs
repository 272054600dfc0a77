//! Planted faults in texts move their distance to human text: shuffled words, loops and copies.
//!
//! With toy features always; with all-MiniLM-L6-v2 on real stories where both are there:
//! `DRDIFF_MINILM=folder DRDIFF_REFERENCE=stories.jsonl cargo test -p drdiff-evaluation --test distances`.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;

use drdiff_data::documents;
use drdiff_evaluation::distance::{Distances, compare};
use drdiff_evaluation::features::{FeatureError, Features, MiniLm};
use drdiff_noise::{Noise, Purpose};

/// How often each pair of neighbouring words is there, folded into 16 numbers.
struct Pairs;

impl Features for Pairs {
    fn name(&self) -> &str {
        "pairs"
    }

    fn hash(&self) -> &str {
        "pairs"
    }

    fn embed(&self, text: &str) -> Result<Vec<f32>, FeatureError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut row = vec![0.0; 16];
        for pair in words.windows(2) {
            let letters = pair[0].bytes().zip(1u32..).map(|(byte, place)| u32::from(byte) * place);
            let next = pair[1].bytes().map(u32::from).sum::<u32>();
            row[(letters.sum::<u32>() * 31 + next) as usize % 16] += 1.0 / words.len() as f32;
        }
        Ok(row)
    }
}

/// Text `number` of an author who knows four kinds of words and one kind of sentence.
fn story(number: u64) -> String {
    const KINDS: [[&str; 4]; 4] = [
        ["the miller", "a king", "my sister", "one soldier"],
        ["saw", "wanted", "carried", "forgot"],
        ["a red", "the old", "some cold", "no small"],
        ["boat.", "garden.", "letter.", "river."],
    ];
    let mut draws = Noise::new(7, number).stream(Purpose::Prior, 0, 0);
    let words: Vec<&str> = (0..48).map(|place| KINDS[place % 4][draws.below(4)]).collect();
    words.join(" ")
}

/// The words in another order, the same for every text of the same length.
fn shuffled(text: &str) -> String {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    Noise::new(3, 0).stream(Purpose::Prior, 0, 0).shuffle(&mut words);
    words.join(" ")
}

/// The first words of a text, over and over.
fn looped(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let again = words.iter().take(6).cycle().take(words.len());
    again.copied().collect::<Vec<_>>().join(" ")
}

/// Distances of `texts`, all texts of the author, from half as many more.
fn distances(features: &dyn Features, generated: &[String], human: &[String]) -> Distances {
    let rows = |texts: &[String]| -> Vec<Vec<f32>> { texts.iter().map(|text| features.embed(text).unwrap()).collect() };
    compare(&rows(generated), &rows(human)).unwrap()
}

/// `order` is how much farther shuffled words must be than the plain text.
fn check(features: &dyn Features, order: f64, plain: &[String], human: &[String]) {
    let changed = |how: fn(&str) -> String| -> Vec<String> { plain.iter().map(|text| how(text)).collect() };
    let own = distances(features, plain, human);
    let shuffled = distances(features, &changed(shuffled), human);
    let looped = distances(features, &changed(looped), human);
    let copied = distances(features, &human[..human.len() / 2], human);
    let above = |told: &Distances| told.frechet / told.frechet_floor;
    let name = features.name();
    assert!(above(&own) < 1.6, "{name}: {own:?}");
    assert!(
        above(&shuffled) > order * above(&own),
        "{name}: {shuffled:?} and {own:?}"
    );
    assert!(above(&looped) > 1.3 * above(&own), "{name}: {looped:?} and {own:?}");
    assert!(above(&copied) < above(&own), "{name}: {copied:?} and {own:?}");
}

#[test]
fn planted_faults_are_farther_from_human_text_and_copies_are_nearer() {
    let stories: Vec<String> = (0..180).map(story).collect();
    check(&Pairs, 1.3, &stories[..60], &stories[60..]);
}

#[test]
fn the_same_holds_for_stories_under_minilm() {
    let (Some(folder), Some(stories)) = (std::env::var_os("DRDIFF_MINILM"), std::env::var_os("DRDIFF_REFERENCE"))
    else {
        // Without weights and stories there is nothing to test.
        return;
    };
    // Passages of many stories, far from each other.
    let mut passages = Vec::new();
    for document in documents(Path::new(&stories)).unwrap().take(75) {
        let text = document.unwrap().text;
        let words: Vec<&str> = text.split_whitespace().collect();
        let chunks = words.chunks_exact(120).take(64).step_by(32);
        passages.extend(chunks.map(|words| words.join(" ")));
    }
    let third = |rest: usize| passages.iter().skip(rest).step_by(3).cloned();
    let plain: Vec<String> = third(0).collect();
    let human: Vec<String> = third(1).chain(third(2)).collect();
    // It is made to see what a text is about, and hardly sees the order of its words.
    check(&MiniLm::open(Path::new(&folder)).unwrap(), 1.0, &plain, &human);
}
