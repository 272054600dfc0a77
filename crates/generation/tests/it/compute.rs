//! What a text costs with routed experts, and who decides it.

use drdiff_generation::{Compute, Engine, Event, Output, PassCompute, Request};
use drdiff_model::Network;
use drdiff_routing::RouterKind;

use crate::common::{network, request, routed, tokenizer};

/// The costs of every pass of each request, and the finished texts.
fn costs(network: Network, requests: Vec<Request>) -> Vec<(u64, Vec<PassCompute>, Output)> {
    let mut engine = Engine::new(network, tokenizer(), requests.len()).unwrap();
    engine.show_experts(true);
    let mut all: Vec<(u64, Vec<PassCompute>, Option<Output>)> =
        requests.iter().map(|request| (request.id, Vec::new(), None)).collect();
    requests.into_iter().for_each(|request| engine.submit(request).unwrap());
    while !engine.is_idle() {
        for event in engine.step().unwrap() {
            match event {
                Event::Pass { request, compute, .. } => {
                    let of = all.iter_mut().find(|(id, ..)| *id == request).unwrap();
                    of.1.push(compute);
                }
                Event::Finished { request, output } => {
                    let of = all.iter_mut().find(|(id, ..)| *id == request).unwrap();
                    of.2 = Some(output);
                }
                _ => {}
            }
        }
    }
    all.into_iter()
        .map(|(id, passes, output)| (id, passes, output.unwrap()))
        .collect()
}

fn with(compute: Compute, id: u64) -> Request {
    let mut request = request(id, "abcdefgh", 24);
    request.settings.compute = compute;
    request
}

#[test]
fn open_rows_of_a_block_pay_for_experts_and_others_do_not() {
    let (_, passes, output) = costs(routed(RouterKind::ExpertChoice), vec![with(Compute::default(), 1)]).remove(0);
    let config = routed(RouterKind::ExpertChoice).config().clone();
    let (width, routing) = (config.width as u64, &config.routing);
    let shared = 6 * width * config.hidden as u64;
    for (index, pass) in passes.iter().enumerate() {
        // The prompt, or the block before, comes with the first pass of a block.
        assert_eq!(pass.clean, if index % 4 == 0 { 8 } else { 0 });
        assert_eq!(pass.open + pass.settled, 8);
        // Two experts for an open row, in the upper of the two layers; if the 4 experts have equally many, on average.
        let taken = match pass.open {
            1 => 2,
            open => 4 * (open as f64 / 2.0).round() as u64,
        };
        assert_eq!(pass.taken, [0, taken]);
        // The last layer is read at open rows only.
        let (rows, read) = ((pass.clean + 8) as u64, pass.open as u64);
        let routed = 2 * width * routing.experts as u64 * 8 + 6 * width * routing.expert_hidden as u64 * taken;
        assert_eq!(pass.feed_forward, [rows * shared, read * shared + routed]);
        assert_eq!(u64::from(pass.experts.iter().sum::<u32>()), taken);
        assert_eq!(
            pass.experts.iter().filter(|n| **n > 0).count().max(pass.open),
            pass.open
        );
    }
    assert_eq!(output.flops, passes.iter().map(|pass| pass.flops).sum::<u64>());
    assert_eq!(output.scoring_flops, 0, "nothing is retrieved");
    let open = passes.iter().map(|pass| pass.open).sum::<usize>();
    assert_eq!((output.routed.open, output.routed.clean), (open, 24));
    assert_eq!(output.routed.open + output.routed.settled, output.canvas_tokens);
}

#[test]
fn a_budget_buys_less_and_belongs_to_its_request() {
    for kind in [RouterKind::ExpertChoice, RouterKind::TokenChoice, RouterKind::Threshold] {
        let requests = [
            with(Compute::Share(0.25), 1),
            with(Compute::Auto, 2),
            with(Compute::default(), 3),
        ];
        let together = costs(routed(kind), requests.to_vec());
        for (request, (_, passes, output)) in requests.into_iter().zip(&together) {
            let (_, alone, written) = costs(routed(kind), vec![request]).remove(0);
            assert_eq!((&alone, &written.ids), (passes, &output.ids), "{kind:?}");
        }
        let taken = |index: usize| together[index].2.routed.taken.iter().sum::<u64>();
        assert!(
            taken(0) > 0 && taken(0) < taken(2),
            "{kind:?}: {} and {}",
            taken(0),
            taken(2)
        );
        assert!(together[0].2.flops < together[2].2.flops);
    }
}

#[test]
fn auto_stays_in_the_range_of_training() {
    let (_, passes, _) = costs(routed(RouterKind::ExpertChoice), vec![with(Compute::Auto, 1)]).remove(0);
    // The network of these tests was made for budgets from a quarter up.
    assert!(passes.iter().all(|pass| (0.25..=1.0).contains(&pass.share)));
    assert!(
        passes.iter().step_by(4).all(|pass| pass.share == 1.0),
        "a block begins with all"
    );
}

#[test]
fn a_dense_network_has_nothing_to_save() {
    let mut engine = Engine::new(network(), tokenizer(), 1).unwrap();
    let told = engine.submit(with(Compute::Share(0.5), 1)).unwrap_err().to_string();
    assert!(told.contains("no routed experts"), "{told}");
    engine.submit(with(Compute::default(), 1)).unwrap();
}
