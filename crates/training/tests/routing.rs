//! Networks with routed experts learn, in every layer that has them, and their runs report what the routers do.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

mod common;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use common::{VOCAB, config, gradients, model, one_batch_of};
use drdiff_model::ModelConfig;
use drdiff_routing::{Budget, RouterKind, RoutingConfig};
use drdiff_testkit::assert_all_learn;
use drdiff_training::{Event, LayerLoad, MuonConfig, Run, Trainer, run};

const ROUTED: [RouterKind; 3] = [RouterKind::ExpertChoice, RouterKind::TokenChoice, RouterKind::Threshold];

fn routed(vocab: usize, kind: RouterKind) -> ModelConfig {
    ModelConfig {
        routing: RoutingConfig {
            kind,
            experts: 4,
            expert_hidden: 16,
            first_layer: Some(0),
            entropy: true,
            ..RoutingConfig::default()
        },
        ..model(vocab, false)
    }
}

#[test]
fn every_parameter_gets_a_finite_gradient_that_is_not_zero() {
    for kind in ROUTED {
        let (params, forward) = one_batch_of(&routed(VOCAB, kind), true);
        let gradients = gradients(&forward);
        assert_all_learn(params.vars(), |parameter| gradients.get(parameter));
    }
}

/// The lines of a short run, layer by layer.
fn loads(kind: RouterKind, muon: Option<MuonConfig>) -> Vec<Vec<LayerLoad>> {
    let folder = tempfile::tempdir().unwrap();
    let (_folder, corpus) = common::corpus();
    let vocab = corpus.tokenizer().vocab_size();
    let mut config = config(vocab, 3);
    config.model = routed(vocab, kind);
    config.model.routing.budget = Budget { min: 0.25, max: 1.0 };
    config.optimizer.muon = muon;
    let mut trainer = Trainer::new(config.clone(), &corpus, None, &Device::Cpu).unwrap();
    let options = Run {
        dir: folder.path(),
        commit: "test",
        stop: &Arc::new(AtomicBool::new(false)),
        limit: None,
    };
    let mut lines = Vec::new();
    run(&mut trainer, &options, &mut |event| {
        if let Event::Steps(record) = event {
            lines.push(record.routing.clone());
        }
    })
    .unwrap();
    // What was saved goes on, with the same routing only.
    Trainer::resume(config.clone(), &corpus, folder.path(), &Device::Cpu).unwrap();
    config.model.routing.experts += 1;
    assert!(Trainer::resume(config, &corpus, folder.path(), &Device::Cpu).is_err());
    lines
}

#[test]
fn a_run_says_how_rows_spread_over_experts() {
    for kind in ROUTED {
        let lines = loads(kind, (kind == RouterKind::TokenChoice).then(MuonConfig::default));
        assert_eq!(lines.len(), 3);
        for layer in lines.iter().flatten() {
            assert!((layer.load.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{layer:?}");
            assert!(layer.entropy > 0.5 && layer.entropy <= 1.0 + 1e-6, "{layer:?}");
        }
        let layers: Vec<usize> = lines[0].iter().map(|layer| layer.layer).collect();
        assert_eq!(layers, [0, 1]);
    }
}
