//! Streams of random numbers: published vectors, keys, distributions.

use drdiff_noise::{Noise, Philox4x32, Purpose};
use rand::RngCore;

/// The known answers that come with Random123 (`kat_vectors`, philox4x32 of 10 rounds).
#[test]
fn philox_gives_the_published_vectors() {
    let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
    let cases = [
        ([0; 2], [0; 4], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        (
            [u32::MAX; 2],
            [u32::MAX; 4],
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
        ),
        (
            [0xa409_3822, 0x299f_31d0],
            pi,
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];
    for (key, counter, want) in cases {
        assert_eq!(Philox4x32::new(key).block(counter), want);
    }
}

#[test]
fn streams_depend_on_every_part_of_their_key_and_on_nothing_else() {
    let first = |noise: Noise, purpose, step, position| noise.stream(purpose, step, position).next_u64();
    let base = first(Noise::new(1, 2), Purpose::Prior, 3, 4);
    assert_eq!(base, first(Noise::new(1, 2), Purpose::Prior, 3, 4));
    let others = [
        first(Noise::new(2, 2), Purpose::Prior, 3, 4),
        first(Noise::new(1 << 32 | 1, 2), Purpose::Prior, 3, 4),
        first(Noise::new(1, 3), Purpose::Prior, 3, 4),
        first(Noise::new(1, 2), Purpose::Solver, 3, 4),
        first(Noise::new(1, 2), Purpose::Prior, 4, 4),
        first(Noise::new(1, 2), Purpose::Prior, 4, 3),
        first(Noise::new(1, 2), Purpose::Prior, 3, 5),
        first(Noise::new(1, 2), Purpose::Prior, 3, 1 << 32 | 4),
    ];
    for (index, other) in others.iter().enumerate() {
        assert_ne!(base, *other, "case {index}");
        assert!(!others[..index].contains(other), "case {index}");
    }
}

/// Sample moments lie within five standard errors.
#[test]
fn draws_have_the_moments_of_their_distribution() {
    let noise = Noise::new(7, 0);
    let count = 200_000;
    let check = |what: &str, draws: &[f64], mean: f64, variance: f64, fourth: f64| {
        let n = draws.len() as f64;
        let average = draws.iter().sum::<f64>() / n;
        let spread = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        assert!(
            (average - mean).abs() < 5.0 * (variance / n).sqrt(),
            "{what}: mean {average}"
        );
        let error = ((fourth - variance * variance) / n).sqrt();
        assert!((spread - variance).abs() < 5.0 * error, "{what}: variance {spread}");
    };
    let mut normal = vec![0.0; count];
    noise.normal(Purpose::Prior, 0, 0, &mut normal);
    check("normal", &normal, 0.0, 1.0, 3.0);
    let across: Vec<f64> = (0..count as u64)
        .map(|position| noise.uniform(Purpose::Sample, 5, position))
        .collect();
    assert!(across.iter().all(|x| (0.0..1.0).contains(x)));
    check("uniform across positions", &across, 0.5, 1.0 / 12.0, 1.0 / 80.0);
}

#[test]
fn a_shuffle_keeps_everything_once() {
    let mut items: Vec<usize> = (0..100).collect();
    Noise::new(1, 1).stream(Purpose::Data, 0, 0).shuffle(&mut items);
    assert_ne!(items, (0..100).collect::<Vec<_>>());
    items.sort_unstable();
    assert_eq!(items, (0..100).collect::<Vec<_>>());
}
