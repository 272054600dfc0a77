//! A routed network writes with the experts that it was trained with, and a text is routed alone whoever is written
//! beside it.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../../generation/tests/it/common.rs"]
#[allow(dead_code, reason = "shared with the tests of the engine, which use more of it")]
mod common;

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use common::{request, routed, tokenizer, write, write_one};
use drdiff_attention::{Segment, noisy_clean};
use drdiff_diffusion::Levels;
use drdiff_generation::{Engine, Event};
use drdiff_kernels::{Rotary, TilePlan, mixture_with_entropy, softmax};
use drdiff_model::{Input, LastPrediction, Layout, Network, NoisedBatch, TrainableNetwork};
use drdiff_noise::Noise;
use drdiff_routing::{ComputeReport, Read, RouterKind};
use drdiff_solver::{Choice, Process};
use drdiff_testkit::assert_close;

const ROUTED: [RouterKind; 3] = [RouterKind::ExpertChoice, RouterKind::TokenChoice, RouterKind::Threshold];
const BLOCK: usize = 8;

/// The block before each step, and what the step committed.
type Steps = Vec<(Vec<Option<u32>>, Vec<Choice>)>;

/// The tokens of a prompt and a block that the engine wrote, step by step.
fn written(kind: RouterKind, self_condition: bool) -> (Vec<u32>, Steps) {
    let mut request = request(1, "abcdefgh", BLOCK);
    request.settings.sampler.steps = 3;
    request.settings.sampler.process = Process::Absorbing;
    request.settings.self_condition = self_condition;
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
    let tokens = "abcdefgh".bytes().map(u32::from);
    (tokens.chain(canvas.into_iter().flatten()).collect(), steps)
}

/// The engine says how probable each token is that it commits; the loss of training says the same when it sees the block
/// as the engine saw it, with what was committed before as anchors.
#[test]
fn training_and_generation_route_alike() {
    for kind in ROUTED {
        let (tokens, steps) = written(kind, false);
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
    let corrupted = NoisedBatch::new(tokens, &levels, 1, sizes, (Noise::new(1, 0), 0)).in_blocks(&levels, BLOCK, 1.0);
    let positions: Vec<i64> = (0..len as i64).chain(0..len as i64).collect();
    let layout = Layout {
        plan: TilePlan::new(&[noisy_clean(len, BLOCK).unwrap()]).unwrap().into(),
        units: None,
        rotary: &Rotary::new(&[positions], model.head_dim, model.rope_base, &Device::Cpu).unwrap(),
    };
    let loss = network.loss(&corrupted, &layout, false, None, None).unwrap();
    let open = (0..BLOCK).filter(|position| block[*position].is_none());
    open.zip(loss.nats.to_vec1::<f32>().unwrap().into_iter().map(f64::from))
        .collect()
}

/// With self-conditioning routers read in each step how undecided the step before was, by what training computes of it.
#[test]
fn routers_read_the_entropy_of_the_step_before() {
    for kind in ROUTED {
        let network = routed(kind);
        let (tokens, steps) = written(kind, true);
        let mut before: Option<(Vec<usize>, Tensor, Tensor)> = None;
        for (step, (block, committed)) in steps.into_iter().enumerate() {
            let open: Vec<usize> = (0..BLOCK).filter(|position| block[*position].is_none()).collect();
            let last = before.map(|(known, x_hat, entropy)| {
                let place = (0..4 * BLOCK as u32).map(|row| {
                    let of = |position: &usize| (BLOCK + position) as u32 == row && open.contains(position);
                    known.iter().position(of).map_or(0, |at| at as u32 + 1)
                });
                LastPrediction {
                    x_hat,
                    entropy: Some(entropy),
                    place: Tensor::from_iter(place, &Device::Cpu).unwrap(),
                }
            });
            let [h, blind] = [last.clone(), last.map(|last| LastPrediction { entropy: None, ..last })]
                .map(|last| evidence(&network, &tokens, &block, last));
            let want = probabilities(&network, &h, &open, &committed);
            let got: Vec<f64> = committed.iter().map(|choice| choice.probability).collect();
            assert_close(&format!("{kind:?}, step {step}"), &got, &want);
            if step > 0 {
                assert_ne!(want, probabilities(&network, &blind, &open, &committed), "{kind:?}");
            }
            let table = network.head_rows().unwrap();
            let (x_hat, entropy) = mixture_with_entropy(&h, &table, network.bias()).unwrap();
            before = Some((open, x_hat, entropy));
        }
    }
}

fn probabilities(network: &Network, h: &Tensor, open: &[usize], of: &[Choice]) -> Vec<f64> {
    let p = softmax(&network.logits(h).unwrap()).unwrap().to_vec2::<f32>().unwrap();
    let row = |position| open.iter().position(|open| *open == position).unwrap();
    of.iter()
        .map(|choice| f64::from(p[row(choice.position)][choice.token as usize]))
        .collect()
}

/// Evidence at the open rows of the second block in the pass of training.
fn evidence(network: &Network, tokens: &[u32], block: &[Option<u32>], last: Option<LastPrediction>) -> Tensor {
    let (model, len) = (network.config(), 2 * BLOCK);
    let noisy = block.iter().map(|token| token.unwrap_or(model.vocab as u32));
    let index = tokens[..BLOCK]
        .iter()
        .copied()
        .chain(noisy)
        .chain(tokens.iter().copied());
    let mut input = Input::discrete(Tensor::from_iter(index, &Device::Cpu).unwrap());
    let open: Vec<bool> = block.iter().map(Option::is_none).collect();
    let settled = open.iter().filter(|open| !**open).count();
    input.groups.settled(BLOCK);
    input.groups.block(&open, settled as f64 / BLOCK as f64, 1.0);
    input.groups.settled(len);
    input.last = last;
    let rows = (0..BLOCK).filter(|at| open[*at]).map(|at| (BLOCK + at) as u32);
    input.read = Read::Rows(Tensor::from_iter(rows, &Device::Cpu).unwrap());
    let positions: Vec<i64> = (0..len as i64).chain(0..len as i64).collect();
    let segment = Segment {
        batch: 1,
        len: 2 * len,
        plan: TilePlan::new(&[noisy_clean(len, BLOCK).unwrap()]).unwrap().into(),
        units: None,
        rotary: &Rotary::new(&[positions], model.head_dim, model.rope_base, &Device::Cpu).unwrap(),
        past: None,
    };
    let tables = network.tables(None).unwrap();
    let hidden = network
        .hidden(&tables, &input, &mut [segment], &mut ComputeReport::default())
        .unwrap();
    network.evidence(&hidden).unwrap().tensor().clone()
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
