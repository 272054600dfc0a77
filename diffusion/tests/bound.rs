//! The discrete-chain bound on a toy model whose likelihood is known by enumeration.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use drdiff_diffusion::{BoundAccumulator, MaskPlan};
use drdiff_noise::Noise;

const B: usize = 4;
const V: usize = 3;

/// A joint law over texts of `B` tokens.
fn weight(text: &[usize; B]) -> f64 {
    let pair: f64 = text
        .windows(2)
        .map(|w| if w[0] == w[1] { 1.3 } else { 0.2 * w[1] as f64 })
        .sum();
    (pair + 0.3 * (text[0] as f64) - 0.5 * (text[3] as f64 * text[1] as f64)).exp()
}

fn texts() -> impl Iterator<Item = [usize; B]> {
    (0..V.pow(B as u32)).map(|i| std::array::from_fn(|p| i / V.pow(p as u32) % V))
}

/// `p(token at position | the shown positions of text)`, mixed with the uniform law by `blur`: an imperfect model.
fn conditional(text: &[usize; B], masked: usize, position: usize, blur: f64) -> f64 {
    let agrees = |other: &[usize; B]| (0..B).all(|i| masked >> i & 1 == 1 || other[i] == text[i]);
    let total: f64 = texts().filter(agrees).map(|t| weight(&t)).sum();
    let same: f64 = texts()
        .filter(|t| agrees(t) && t[position] == text[position])
        .map(|t| weight(&t))
        .sum();
    (1.0 - blur) * same / total + blur / V as f64
}

fn masked_nats(text: &[usize; B], masked: usize, blur: f64) -> f64 {
    (0..B)
        .filter(|i| masked >> i & 1 == 1)
        .map(|i| -conditional(text, masked, i, blur).ln())
        .sum()
}

/// Exact bound in nats per token: every count equally often, every subset of a count equally often.
fn exact_bound(text: &[usize; B], blur: f64) -> f64 {
    let mut bound = BoundAccumulator::default();
    for masked in 1_usize..1 << B {
        let k = masked.count_ones() as usize;
        let subsets = [1, 4, 6, 4, 1][k];
        for _ in 0..12 / subsets {
            bound.add(k, B, masked_nats(text, masked, blur)).unwrap();
        }
    }
    bound.nats_per_token()
}

fn orders() -> Vec<[usize; B]> {
    let all = (0..B.pow(B as u32)).map(|i| std::array::from_fn(|p| i / B.pow(p as u32) % B));
    all.filter(|o: &[usize; B]| (0..B).all(|p| o.contains(&p))).collect()
}

/// Log-probability that the model gives to `text` when it unmasks in this order.
fn log_probability(text: &[usize; B], order: &[usize; B], blur: f64) -> f64 {
    let mut masked = (1 << B) - 1;
    order
        .iter()
        .map(|&position| {
            let ln = conditional(text, masked, position, blur).ln();
            masked &= !(1 << position);
            ln
        })
        .sum()
}

#[test]
fn exact_conditionals_make_the_bound_tight() {
    let total: f64 = texts().map(|t| weight(&t)).sum();
    for text in [[0, 1, 2, 0], [2, 2, 2, 2], [1, 0, 0, 2]] {
        let nll = -(weight(&text) / total).ln() / B as f64;
        assert!((exact_bound(&text, 0.0) - nll).abs() < 1e-12);
    }
}

#[test]
fn imperfect_conditionals_give_the_any_order_average_above_the_likelihood() {
    let text = [2, 0, 1, 1];
    let bound = exact_bound(&text, 0.2);
    let logs: Vec<f64> = orders().iter().map(|o| log_probability(&text, o, 0.2)).collect();
    assert_eq!(logs.len(), 24);
    let any_order = -logs.iter().sum::<f64>() / 24.0 / B as f64;
    assert!((bound - any_order).abs() < 1e-12, "{bound} against {any_order}");
    let likelihood = logs.iter().map(|l| l.exp()).sum::<f64>() / 24.0;
    let nll = -likelihood.ln() / B as f64;
    assert!(bound > nll, "{bound} must bound {nll}");
}

#[test]
fn the_plan_estimates_the_bound_without_bias() {
    let text = [2, 0, 1, 1];
    let noise = Noise::new(1, 0);
    let mut bound = BoundAccumulator::default();
    let plan = MaskPlan::new(&noise, 0, 4000, B).unwrap();
    let mut counts = [0; B + 1];
    for index in 0..4000 {
        let bits = plan
            .block(index)
            .iter()
            .enumerate()
            .map(|(i, m)| usize::from(*m) << i)
            .sum::<usize>();
        let k = bits.count_ones() as usize;
        counts[k] += 1;
        bound.add(k, B, masked_nats(&text, bits, 0.2)).unwrap();
    }
    assert_eq!(counts, [0, 1000, 1000, 1000, 1000]);
    let error = bound.nats_per_token() - exact_bound(&text, 0.2);
    assert!(
        error.abs() < 4.0 * bound.standard_error(),
        "{error} with standard error {}",
        bound.standard_error()
    );
    assert!(bound.standard_error() < 0.02);
}

#[test]
fn rounds_differ_and_repeat() {
    let noise = Noise::new(1, 0);
    let plan = |round| MaskPlan::new(&noise, round, 10, 16).unwrap();
    assert_eq!(plan(3), plan(3));
    assert_ne!(plan(3), plan(4));
    assert_eq!(plan(0).masked().len(), 160);
}

#[test]
fn units_and_refusals() {
    let mut bound = BoundAccumulator::default();
    assert!(bound.nats_per_token().is_nan() && bound.standard_error().is_nan());
    bound.add(2, 4, 6.0).unwrap();
    bound.add(1, 4, 1.0).unwrap();
    assert_eq!((bound.nats_per_token(), bound.standard_error()), (2.0, 1.0));
    assert!((bound.bits_per_byte(10, 40) - 2.0 / std::f64::consts::LN_2 / 4.0).abs() < 1e-15);
    assert!(bound.add(0, 4, 0.0).is_err() && bound.add(5, 4, 0.0).is_err());
    assert!(MaskPlan::new(&Noise::new(0, 0), 0, 1, 0).is_err());
}
