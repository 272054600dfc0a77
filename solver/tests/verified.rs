//! Draft and check writes what block size 1 writes, whatever drafts.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use drdiff_noise::{Noise, Purpose};
use drdiff_solver::{CommitSchedule, DraftLength, FrequencyConfig, SamplerConfig, SamplingConfig, VerifiedRun};
use drdiff_testkit::against_probabilities;
use rayon::prelude::*;

const V: usize = 5;
const LENGTH: usize = 4;
const PROMPT: [u32; 3] = [1, 4, 1];

fn config(draft_length: DraftLength) -> SamplerConfig {
    SamplerConfig {
        steps: 1,
        commit: CommitSchedule::Verified,
        sampling: SamplingConfig {
            temperature: 0.7,
            top_p: 0.95,
        },
        frequency: FrequencyConfig {
            penalty: 0.8,
            window: 5,
            level: 4,
        },
        draft_length,
        ..SamplerConfig::plain()
    }
}

/// Logits that depend on all of `text`, on a place and on who asks: the check, or a masked position.
fn logits(text: &[u32], kind: u64) -> Vec<f32> {
    let key = text.iter().fold(kind, |key, token| key * 7 + u64::from(*token) + 1);
    (0..V as u64)
        .map(|token| 3.0 * Noise::new(5, token).uniform(Purpose::Init, 0, key) as f32)
        .collect()
}

/// What the network says of the token behind `text`.
fn check(text: &[u32]) -> Vec<f32> {
    logits(text, 1)
}

/// What it says of `wanted` masked positions, the first of which is the second of `masks` behind `text`. Good drafts are alike what they are
/// checked by: half of a draft is what the check says behind the same text.
fn masked(text: &[u32], masks: usize, wanted: usize) -> Vec<f32> {
    (1..=wanted)
        .flat_map(|place| {
            let own = logits(text, 100 + (masks * 10 + place) as u64);
            let alike = check(text);
            own.into_iter()
                .zip(alike)
                .map(|(a, b)| 0.5 * (a + b))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Draft and check with a pass for each, as few rows as it takes.
fn in_two_passes(config: &SamplerConfig, noise: Noise) -> Vec<u32> {
    let mut run = VerifiedRun::new(config.clone(), V, noise, PROMPT.to_vec(), LENGTH - 1).unwrap();
    let mut text = PROMPT.to_vec();
    while text.len() < PROMPT.len() + LENGTH {
        let drafts: Vec<u32> = run.drafts().collect();
        if run.is_due() && run.wanted(0) > 0 {
            run.draft(masked(&text[..text.len() - 1], run.masks(), run.wanted(0)))
                .unwrap();
        }
        let rows = (0..=drafts.len()).flat_map(|row| check(&[&text, &drafts[..row]].concat()));
        let checked = run.check(rows.collect()).unwrap();
        text.extend(checked.committed.iter().map(|choice| choice.token));
    }
    text.split_off(PROMPT.len())
}

/// Draft and check in one pass, which drafts behind every outcome of its check.
fn in_one_pass(config: &SamplerConfig, noise: Noise) -> Vec<u32> {
    let mut run = VerifiedRun::new(config.clone(), V, noise, PROMPT.to_vec(), LENGTH - 1).unwrap();
    let mut text = PROMPT.to_vec();
    while text.len() < PROMPT.len() + LENGTH {
        let drafts: Vec<u32> = run.drafts().collect();
        let behind = |row: usize| [&text, &drafts[..row]].concat();
        let outcomes: Vec<Vec<f32>> = (0..=drafts.len())
            .map(|row| masked(&behind(row), run.masks(), run.wanted(row + 1)))
            .collect();
        let rows = (0..=drafts.len()).flat_map(|row| check(&behind(row)));
        let checked = run.check(rows.collect()).unwrap();
        text.extend(checked.committed.iter().map(|choice| choice.token));
        let drafted = &outcomes[checked.committed.len() - 1];
        if !drafted.is_empty() {
            run.draft(drafted.clone()).unwrap();
        }
    }
    text.split_off(PROMPT.len())
}

/// Probabilities of the token behind a text at block size 1, by sorting in f64.
fn block_size_one(config: &SamplerConfig, text: &[u32]) -> Vec<f64> {
    let recent = &text[text.len().saturating_sub(config.frequency.window)..];
    let level = config.frequency.level as f64;
    let scale = level / level.max(recent.len() as f64);
    let penalised = check(text).into_iter().enumerate().map(|(token, logit)| {
        let count = recent.iter().filter(|other| **other == token as u32).count() as f64;
        f64::from(logit) - config.frequency.penalty * (scale * count).ln_1p()
    });
    let weights: Vec<f64> = penalised.map(|x| (x / config.sampling.temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut order: Vec<usize> = (0..V).collect();
    order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
    let (mut mass, mut kept) = (0.0, vec![0.0; V]);
    for token in order {
        if mass < config.sampling.top_p * total {
            kept[token] = weights[token];
            mass += weights[token];
        }
    }
    kept.into_iter().map(|weight| weight / mass).collect()
}

/// The probability of every text, in the order of [`place`].
fn probabilities(config: &SamplerConfig) -> Vec<f64> {
    let mut texts = vec![(PROMPT.to_vec(), 1.0)];
    for _ in 0..LENGTH {
        let behind = |(text, p): (Vec<u32>, f64)| {
            let next = block_size_one(config, &text).into_iter().enumerate();
            next.map(|(token, q)| ([text.as_slice(), &[token as u32]].concat(), p * q))
                .collect::<Vec<_>>()
        };
        texts = texts.into_iter().flat_map(behind).collect();
    }
    texts.into_iter().map(|(_, p)| p).collect()
}

fn place(text: &[u32]) -> usize {
    text.iter().fold(0, |place, token| place * V + *token as usize)
}

#[test]
fn texts_have_the_distribution_of_block_size_one() {
    let lengths = [
        (DraftLength::Tokens(3), 1_000_000),
        (DraftLength::Tokens(2), 100_000),
        (DraftLength::Auto, 100_000),
    ];
    for (length, draws) in lengths {
        let config = config(length);
        let texts: Vec<usize> = (0..draws)
            .into_par_iter()
            .map(|request| place(&in_two_passes(&config, Noise::new(1, request))))
            .collect();
        let mut counts = vec![0; V.pow(LENGTH as u32)];
        texts.into_iter().for_each(|text| counts[text] += 1);
        let p = against_probabilities(&counts, &probabilities(&config));
        assert!(p > 0.01, "chi-squared p {p} with drafts of {length}");
    }
}

#[test]
fn either_form_writes_the_same_text() {
    for length in [1, 2, 3, 5]
        .map(DraftLength::Tokens)
        .into_iter()
        .chain([DraftLength::Auto])
    {
        let config = config(length);
        for request in 0..2_000 {
            let noise = Noise::new(2, request);
            assert_eq!(
                in_two_passes(&config, noise),
                in_one_pass(&config, noise),
                "drafts of {length}"
            );
        }
    }
}

#[test]
fn at_temperature_zero_it_is_the_likeliest_text() {
    let mut config = config(DraftLength::Tokens(3));
    config.sampling.temperature = 0.0;
    let mut text = PROMPT.to_vec();
    for _ in 0..LENGTH {
        let mut cold = config.clone();
        cold.sampling.temperature = 0.02;
        let next = block_size_one(&cold, &text);
        text.push(next.iter().position(|p| *p > 0.5).unwrap() as u32);
    }
    for request in 0..20 {
        assert_eq!(in_two_passes(&config, Noise::new(3, request)), text[PROMPT.len()..]);
    }
}

#[test]
fn a_draft_that_is_right_is_accepted() {
    let config = config(DraftLength::Tokens(3));
    let mut run = VerifiedRun::new(config, V, Noise::new(4, 0), PROMPT.to_vec(), 10).unwrap();
    let mut text = PROMPT.to_vec();
    let first = run.check(check(&text)).unwrap();
    text.push(first.committed[0].token);
    assert!(run.is_due() && (run.masks(), run.wanted(0)) == (4, 3));
    // The row that will check it.
    run.draft(check(&text)).unwrap();
    let checked = run.check(check(&text)).unwrap();
    assert!(checked.rejected.is_empty() && !run.is_due());
    assert_eq!(run.counts().accepted, [1]);
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let config = config(DraftLength::Auto);
    let mut run = VerifiedRun::new(config, V, Noise::new(4, 0), Vec::new(), 10).unwrap();
    assert!(run.check(vec![0.0; V - 1]).is_err());
    assert!(run.check(vec![0.0; 2 * V]).is_err(), "nothing was drafted");
    assert!(run.check(vec![f32::NAN; V]).is_err());
    assert!(run.draft(vec![0.0; V + 1]).is_err());
}
