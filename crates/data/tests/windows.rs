//! Corpus to windows: reproducible, in the shares that were asked for.

mod common;

use std::collections::BTreeMap;

use common::{Stories, options, prepared};
use drdiff_data::{PrepareOptions, Sampling, Split, Window, text_windows};
use drdiff_noise::Noise;

const WINDOW: usize = 48;

fn shares(list: &[(&str, f64)]) -> BTreeMap<String, f64> {
    list.iter().map(|(tier, share)| ((*tier).to_owned(), *share)).collect()
}

#[test]
fn windows_depend_on_seed_step_and_index_alone() {
    let stories = Stories::write();
    let corpus = prepared(&stories, &options());
    let sampler = |seed| {
        corpus
            .sampler(&Sampling::default(), WINDOW, Noise::new(seed, 0))
            .unwrap()
    };
    let whole = sampler(1).batch(5, 0..8).unwrap();
    let mut parts = sampler(1).batch(5, 0..3).unwrap();
    parts.extend(sampler(1).batch(5, 3..8).unwrap());
    assert_eq!(whole, parts);
    assert_ne!(whole, sampler(2).batch(5, 0..8).unwrap());
    assert_ne!(whole, sampler(1).batch(6, 0..8).unwrap());
}

#[test]
fn windows_carry_their_bytes_of_text() {
    let stories = Stories::write();
    let corpus = prepared(&stories, &options());
    let sampler = corpus.sampler(&Sampling::default(), WINDOW, Noise::new(1, 0)).unwrap();
    for Window { ids, bytes } in sampler.batch(0, 0..50).unwrap() {
        assert_eq!(ids.len(), WINDOW);
        let expected: usize = ids.iter().map(|id| corpus.tokenizer().bytes_of(*id).len()).sum();
        assert_eq!(bytes, expected as u64);
    }
}

#[test]
fn tiers_and_openings_come_in_their_shares() {
    let stories = Stories::write();
    let corpus = prepared(&stories, &options());
    let tales = &corpus.shards(Split::Train)["tales"];
    let openings: Vec<_> = (0..20)
        .map(|n| tales.document(n).start)
        .map(|at| tales.read(at..at + WINDOW as u64).unwrap())
        .collect();

    let sampling = Sampling {
        shares: shares(&[("tales", 3.0), ("young", 1.0), ("text", 0.0)]),
        document_start: 1.0,
    };
    let sampler = corpus.sampler(&sampling, WINDOW, Noise::new(4, 0)).unwrap();
    let windows = sampler.batch(0, 0..2000).unwrap();
    let share = windows.iter().filter(|window| openings.contains(&window.ids)).count() as f64 / 2000.0;
    assert!((share - 0.75).abs() < 0.04, "{share}");
}

#[test]
fn impossible_sampling_is_refused() {
    let stories = Stories::write();
    let corpus = prepared(&stories, &options());
    let refused = |list: &[(&str, f64)], document_start, window| {
        let sampling = Sampling {
            shares: shares(list),
            document_start,
        };
        corpus
            .sampler(&sampling, window, Noise::new(0, 0))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(&[("tails", 1.0)], 0.0, WINDOW),
        "the corpus has no train text of the tier \"tails\"; it has tales, text, young"
    );
    assert!(refused(&[("tales", -1.0)], 0.0, WINDOW).contains("must be a number of at least 0, not -1"));
    assert!(refused(&[("tales", 0.0)], 0.0, WINDOW).contains("the sum of the shares"));
    assert!(refused(&[], 2.0, WINDOW).contains("document_start"));
    assert!(refused(&[], 0.0, 0).contains("at least 1 token"));
    assert!(refused(&[("text", 1.0)], 0.0, 1 << 20).contains("fewer than one window"));
}

#[test]
fn valid_windows_are_the_same_every_time() {
    let stories = Stories::write();
    let corpus = prepared(&stories, &options());
    let shard = &corpus.shards(Split::Valid)["tales"];
    let all = corpus.valid_windows(WINDOW, None, usize::MAX).unwrap();
    assert_eq!(all.len() as u64, shard.tokens() / WINDOW as u64);
    let joined: Vec<u32> = all.iter().flat_map(|window| window.ids.clone()).collect();
    assert_eq!(joined, shard.read(0..joined.len() as u64).unwrap());

    let some = corpus.valid_windows(WINDOW, Some("tales"), 3).unwrap();
    assert_eq!(some.len(), 3);
    assert!(some.iter().all(|window| all.contains(window)));
    assert!(
        corpus
            .valid_windows(WINDOW, Some("young"), 3)
            .unwrap_err()
            .to_string()
            .contains("no valid text")
    );
    assert!(
        corpus
            .valid_windows(1 << 20, None, 3)
            .unwrap_err()
            .to_string()
            .contains("fewer than one window")
    );
}

#[test]
fn text_that_was_not_prepared_is_cut_into_the_same_windows() {
    let stories = Stories::write();
    let corpus = prepared(
        &stories,
        &PrepareOptions {
            title_probability: 0.0,
            ..options()
        },
    );
    for limit in [5, usize::MAX] {
        let found = text_windows(&stories.valid, corpus.tokenizer(), WINDOW, limit).unwrap();
        assert_eq!(found, corpus.valid_windows(WINDOW, None, limit).unwrap());
    }
    let told = text_windows(&stories.valid, corpus.tokenizer(), 1 << 20, 3).unwrap_err();
    assert!(told.to_string().contains("fewer than one window"));
}
