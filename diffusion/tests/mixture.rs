//! The drawn levels have the promised shares, weights and determinism.

use drdiff_diffusion::{Cosine, LevelMixture, MaskedShare, ScheduleConfig, SoftScope, Weighting};
use drdiff_noise::Noise;

const NOISE: Noise = Noise::new(11, 0);

fn only(kind: &str) -> LevelMixture {
    let none = LevelMixture {
        absorbing: 0.0,
        gaussian: 0.0,
        independent: 0.0,
        joint: 0.0,
        ..LevelMixture::default()
    };
    match kind {
        "absorbing" => LevelMixture { absorbing: 1.0, ..none },
        "gaussian" => LevelMixture { gaussian: 1.0, ..none },
        "independent" => LevelMixture {
            independent: 1.0,
            ..none
        },
        _ => LevelMixture { joint: 1.0, ..none },
    }
}

#[test]
fn absorbing_blocks_are_masks_between_anchors() {
    let mixture = LevelMixture {
        weighting: Weighting::Likelihood,
        ..only("absorbing")
    };
    let levels = mixture.draw(&NOISE, 3, 4, 64, 8).unwrap();
    let mut counts = [0; 9];
    for (snr, weight) in levels.snr.chunks(8).zip(levels.weight.chunks(8)) {
        assert!(snr.iter().all(|s| *s == 0.0 || *s == f32::INFINITY));
        let masked = snr.iter().filter(|s| **s == 0.0).count();
        counts[masked] += 1;
        for (s, w) in snr.iter().zip(weight) {
            let expected = if *s == 0.0 { 8.0 / masked as f32 } else { 0.0 };
            assert_eq!(*w, expected);
        }
    }
    assert_eq!(counts, [0, 4, 4, 4, 4, 4, 4, 4, 4], "32 blocks, stratified over 1..=8");
    let total: f32 = levels.weight.iter().sum();
    assert!(
        (total - 256.0).abs() < 1e-3,
        "likelihood weights sum to the number of tokens"
    );
}

#[test]
fn gaussian_levels_are_shared_and_finite() {
    let by_block = only("gaussian").draw(&NOISE, 0, 2, 32, 8).unwrap();
    assert!(
        by_block
            .snr
            .chunks(8)
            .all(|b| b.iter().all(|s| *s == b[0] && s.is_finite() && *s > 0.0))
    );
    assert_ne!(by_block.snr[0], by_block.snr[8]);
    let mixture = LevelMixture {
        scope: SoftScope::Sequence,
        ..only("gaussian")
    };
    let by_sequence = mixture.draw(&NOISE, 0, 2, 32, 8).unwrap();
    assert!(by_sequence.snr.chunks(32).all(|b| b.iter().all(|s| *s == b[0])));
    assert!(by_sequence.weight.iter().all(|w| *w == 1.0));
}

#[test]
fn independent_and_joint_levels_differ_by_position() {
    let levels = only("independent").draw(&NOISE, 0, 1, 16, 16).unwrap();
    let mut sorted = levels.snr.clone();
    sorted.sort_by(f32::total_cmp);
    assert!(sorted.windows(2).all(|w| w[0] < w[1]) && sorted[0] > 0.0);

    let levels = only("joint").draw(&NOISE, 0, 32, 64, 16).unwrap();
    let count = |f: &dyn Fn(f32) -> bool| levels.snr.iter().filter(|s| f(**s)).count() as f64;
    let (absorbed, anchors) = (count(&|s| s == 0.0), count(&|s| s == f32::INFINITY));
    let soft = levels.snr.len() as f64 - absorbed - anchors;
    assert!(
        (soft / (soft + absorbed) - 0.5).abs() < 0.06,
        "{soft} soft of {absorbed} absorbed"
    );
    assert!(
        levels
            .snr
            .iter()
            .zip(&levels.weight)
            .all(|(s, w)| (*w == 0.0) == (*s == f32::INFINITY))
    );
}

#[test]
fn shares_of_sequences_are_stratified() {
    let mixture = LevelMixture {
        absorbing: 3.0,
        gaussian: 1.0,
        independent: 0.0,
        joint: 0.0,
        ..only("joint")
    };
    let levels = mixture.draw(&NOISE, 9, 16, 8, 8).unwrap();
    let gaussian = levels.snr.chunks(8).filter(|s| s[0].is_finite() && s[0] > 0.0).count();
    assert_eq!(gaussian, 4, "exactly a quarter of 16");
}

#[test]
fn draws_repeat_and_steps_differ() {
    let mixture = LevelMixture::default();
    let first = mixture.draw(&NOISE, 5, 8, 50, 16).unwrap();
    assert_eq!(first, mixture.draw(&NOISE, 5, 8, 50, 16).unwrap());
    assert_ne!(first, mixture.draw(&NOISE, 6, 8, 50, 16).unwrap());
    assert_ne!(first, mixture.draw(&Noise::new(12, 0), 5, 8, 50, 16).unwrap());
    assert_eq!(first.snr.len(), 400);
    // Every block, the short last one included, has something to predict.
    for sequence in first.weight.chunks(50) {
        assert!(sequence.chunks(16).all(|block| block.iter().any(|w| *w > 0.0)));
    }
}

#[test]
fn block_size_one_is_always_open() {
    let levels = only("absorbing").draw(&NOISE, 0, 2, 10, 1).unwrap();
    assert!(levels.snr.iter().all(|s| *s == 0.0));
}

#[test]
fn schedules_with_exact_ends_stay_finite() {
    let mixture = LevelMixture {
        schedule: ScheduleConfig::Cosine(Cosine {}),
        ..only("independent")
    };
    let levels = mixture.draw(&NOISE, 0, 4, 4096, 4096).unwrap();
    assert!(levels.snr.iter().all(|s| s.is_finite() && *s > 0.0));
}

#[test]
fn bad_configurations_are_named() {
    assert!(only("none of them").validate().is_ok());
    let empty = LevelMixture {
        joint: 0.0,
        ..only("joint")
    };
    assert!(
        empty
            .draw(&NOISE, 0, 1, 1, 1)
            .unwrap_err()
            .to_string()
            .contains("every share")
    );
    let negative = LevelMixture {
        gaussian: -1.0,
        ..LevelMixture::default()
    };
    assert!(negative.validate().unwrap_err().to_string().contains("gaussian is -1"));
    let clipped = LevelMixture {
        masked_share: MaskedShare::Clipped { low: 0.5, high: 0.2 },
        ..LevelMixture::default()
    };
    assert!(clipped.validate().is_err());
    assert!(LevelMixture::default().draw(&NOISE, 0, 1, 1, 0).is_err());
    assert!(serde_json::from_str::<LevelMixture>(r#"{"absorbing":1,"gausian":0}"#).is_err());
    let parsed: LevelMixture =
        serde_json::from_str(r#"{"masked_share":{"type":"clipped","low":0.1,"high":1.0},"weighting":"likelihood"}"#)
            .unwrap();
    assert_eq!(parsed.weighting, Weighting::Likelihood);
}
