//! A routed network writes with the experts that it was trained with, and a text is routed alone whoever is written
//! beside it.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../../generation/tests/it/common.rs"]
#[allow(dead_code, reason = "shared with the tests of the engine, which use more of it")]
mod common;

use std::collections::BTreeMap;

use candle_core::Device;
use common::{request, routed, tokenizer, write, write_one};
use drdiff_attention::noisy_clean;
use drdiff_diffusion::Levels;
use drdiff_generation::{Engine, Event};
use drdiff_kernels::{Noise, Rotary, TilePlan};
use drdiff_routing::RouterKind;
use drdiff_solver::Process;
use drdiff_testkit::assert_close;
use drdiff_training::{Corrupted, Layout, loss};

const ROUTED: [RouterKind; 3] = [RouterKind::ExpertChoice, RouterKind::TokenChoice, RouterKind::Threshold];
const BLOCK: usize = 8;

/// The engine says how probable each token is that it commits; the loss of training says the same when it sees the block
/// as the engine saw it, with what was committed before as anchors.
#[test]
fn training_and_generation_route_alike() {
    for kind in ROUTED {
        let mut request = request(1, "abcdefgh", BLOCK);
        request.settings.sampler.steps = 3;
        request.settings.sampler.process = Process::Absorbing;
        let prompt: Vec<u32> = "abcdefgh".bytes().map(u32::from).collect();
        let mut engine = Engine::new(routed(kind), tokenizer(), 1).unwrap();
        engine.submit(request).unwrap();
        let mut canvas: Vec<Option<u32>> = vec![None; BLOCK];
        let mut steps = Vec::new();
        while !engine.is_idle() {
            for event in engine.step().unwrap() {
                if let Event::Pass { report, .. } = event {
                    steps.push((canvas.clone(), report.committed.clone()));
                    for choice in report.committed {
                        canvas[choice.position] = Some(choice.token);
                    }
                }
            }
        }
        assert!(steps.len() > 1);
        let tokens: Vec<u32> = prompt.iter().copied().chain(canvas.iter().flatten().copied()).collect();
        for (before, committed) in steps {
            let nats = nats(kind, &tokens, &before);
            let got: Vec<f64> = committed.iter().map(|choice| -choice.probability.ln()).collect();
            let want: Vec<f64> = committed.iter().map(|choice| nats[&choice.position]).collect();
            assert_close(&format!("{kind:?}"), &got, &want);
        }
    }
}

/// Nats of the open positions of the second block, as training computes them.
fn nats(kind: RouterKind, tokens: &[u32], block: &[Option<u32>]) -> BTreeMap<usize, f64> {
    let network = routed(kind);
    let snr = block
        .iter()
        .map(|token| if token.is_some() { f32::INFINITY } else { 0.0 });
    let snr: Vec<f32> = std::iter::repeat_n(f32::INFINITY, BLOCK).chain(snr).collect();
    let levels = Levels {
        weight: snr.iter().map(|snr| f32::from(!snr.is_infinite())).collect(),
        snr,
    };
    let (model, len) = (network.config(), 2 * BLOCK);
    let sizes = (model.vocab, model.embed);
    let corrupted = Corrupted::new(tokens, &levels, 1, sizes, (Noise::new(1, 0), 0)).in_blocks(&levels, BLOCK, 1.0);
    let positions: Vec<i64> = (0..len as i64).chain(0..len as i64).collect();
    let layout = Layout {
        plan: TilePlan::new(&[noisy_clean(len, BLOCK).unwrap()]).unwrap().into(),
        units: None,
        rotary: &Rotary::new(&[positions], model.head_dim, model.rope_base, &Device::Cpu).unwrap(),
    };
    let loss = loss(&network, &corrupted, &layout, false, None).unwrap();
    let open = (0..BLOCK).filter(|position| block[*position].is_none());
    open.zip(loss.nats.to_vec1::<f32>().unwrap().into_iter().map(f64::from))
        .collect()
}

#[test]
fn batch_mates_do_not_change_a_text() {
    for kind in ROUTED {
        let requests = [
            request(1, "abcdefgh", 24),
            request(2, "xy", 40),
            request(3, "lmnopqrstuv", 16),
        ];
        let together = write(routed(kind), 3, requests.to_vec());
        for (request, (id, output)) in requests.into_iter().zip(together) {
            let alone = write_one(routed(kind), request.clone());
            assert_eq!((request.id, &output.ids), (id, &alone.ids), "{kind:?}");
        }
    }
}
