//! Properties that every noise schedule has.

use drdiff_diffusion::{Cosine, Gumbel, Linear, NoiseSchedule, ScheduleConfig, Sqrt};

fn interior() -> impl Iterator<Item = f64> {
    (1..200).map(|i| f64::from(i) / 200.0)
}

fn check(schedule: &dyn NoiseSchedule, alpha_at_0: f64, alpha_at_1: f64) {
    assert!(
        (schedule.alpha(0.0) - 1.0).abs() <= alpha_at_0,
        "alpha(0) = {}",
        schedule.alpha(0.0)
    );
    assert!(schedule.alpha(1.0) <= alpha_at_1, "alpha(1) = {}", schedule.alpha(1.0));
    let mut before = schedule.alpha(0.0);
    for t in interior() {
        let alpha = schedule.alpha(t);
        assert!(alpha < before, "alpha rises at {t}");
        before = alpha;
        assert!((schedule.time_of_alpha(alpha) - t).abs() < 1e-9, "inverse at {t}");
        let snr = alpha * alpha / (1.0 - alpha * alpha);
        assert!((schedule.log_snr(t) - snr.ln()).abs() < 1e-9, "log-SNR at {t}");
        let h = 1e-6;
        let numeric = (schedule.alpha(t + h) - schedule.alpha(t - h)) / (2.0 * h);
        let exact = schedule.alpha_prime(t);
        assert!(
            (numeric - exact).abs() < 1e-6 * (1.0 + exact.abs()),
            "derivative at {t}: {numeric} {exact}"
        );
    }
    // Simpson's rule over the weight equals half of the fall of the signal-to-noise ratio.
    let (a, b, n) = (0.2, 0.9, 4000);
    let h = (b - a) / f64::from(n);
    let integral: f64 = (0..=n)
        .map(|i| {
            let factor = if i == 0 || i == n {
                1.0
            } else if i % 2 == 1 {
                4.0
            } else {
                2.0
            };
            factor * schedule.elbo_weight(a + h * f64::from(i))
        })
        .sum::<f64>()
        * h
        / 3.0;
    let fall = 0.5 * (schedule.log_snr(a).exp() - schedule.log_snr(b).exp());
    assert!(
        (integral / fall - 1.0).abs() < 1e-7,
        "weight integral {integral} against {fall}"
    );
}

#[test]
fn cosine_has_exact_ends() {
    check(&Cosine {}, 1e-15, 1e-15);
}

#[test]
fn sqrt_starts_at_its_offset() {
    check(&Sqrt::default(), 5.1e-3, 0.0);
}

#[test]
fn linear_ends_within_its_rates() {
    check(&Linear::default(), 1e-15, 6.6e-3);
}

#[test]
fn gumbel_ends_at_its_cutoffs() {
    check(&Gumbel::default(), 0.012, 0.018);
    check(
        &Gumbel {
            mu: 0.5,
            beta: 1.3,
            entropy: 5.0,
            cutoff: 1e-3,
        },
        0.08,
        0.02,
    );
}

#[test]
fn the_default_covers_the_useful_range_of_log_snr() {
    let schedule = ScheduleConfig::default();
    assert!(schedule.log_snr(0.0) > 3.5 && schedule.log_snr(1.0) < -1.0);
    let inside = (0..1000)
        .filter(|i| (-1.0..4.0).contains(&schedule.log_snr((f64::from(*i) + 0.5) / 1000.0)))
        .count();
    assert!(inside > 900, "{inside} of 1000 draws lie in [-1, 4]");
}

#[test]
fn configuration_is_strict() {
    let parsed: ScheduleConfig = serde_json::from_str(r#"{"type":"gumbel","mu":-1.0}"#).unwrap();
    assert_eq!(
        parsed,
        ScheduleConfig::Gumbel(Gumbel {
            mu: -1.0,
            ..Gumbel::default()
        })
    );
    assert!(serde_json::from_str::<ScheduleConfig>(r#"{"type":"gumbel","my":-1.0}"#).is_err());
    assert!(serde_json::from_str::<ScheduleConfig>(r#"{"type":"cosine","mu":1.0}"#).is_err());
    assert!(serde_json::from_str::<ScheduleConfig>(r#"{"type":"square"}"#).is_err());
    assert!(
        ScheduleConfig::Gumbel(Gumbel {
            beta: 0.0,
            ..Gumbel::default()
        })
        .validate()
        .is_err()
    );
}
