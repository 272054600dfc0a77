//! Classifier-free guidance on the prompt.

use drdiff_generation::{Error, Request};
use drdiff_solver::Process;

use crate::common::{network, request, write, write_one};

fn guided(id: u64, prompt: &str, weight: f64) -> Request {
    let mut request = request(id, prompt, 24);
    request.settings.style_guidance = weight;
    request
}

#[test]
fn a_weight_of_one_is_no_guidance_bit_for_bit() {
    for process in Process::ALL.iter().copied() {
        let mut plain = request(0, "The cat", 24);
        plain.settings.sampler.process = process;
        let mut one = guided(0, "The cat", 1.0);
        one.settings.sampler.process = process;
        assert_eq!(write_one(network(), plain), write_one(network(), one));
    }
}

#[test]
fn guidance_takes_two_calls_a_pass_and_another_way() {
    let plain = write_one(network(), request(0, "The cat", 24));
    let two = write_one(network(), guided(0, "The cat", 3.0));
    assert_eq!((two.nfe, two.flops), (2 * plain.nfe, 2 * plain.flops));
    assert_eq!(two.canvas_tokens, plain.canvas_tokens);
    assert_ne!(two.ids, plain.ids);
}

#[test]
fn without_a_prompt_there_is_nothing_to_follow() {
    let plain = write_one(network(), request(0, "", 24));
    assert_eq!(write_one(network(), guided(0, "", 3.0)), plain);
}

#[test]
fn a_weight_of_zero_forgets_the_prompt_but_not_the_text() {
    for process in Process::ALL.iter().copied() {
        let with = |prompt: &str, weight: f64| {
            let mut request = guided(0, prompt, weight);
            request.settings.sampler.process = process;
            request.settings.self_condition = true;
            write_one(network(), request).ids
        };
        assert_eq!(with("The cat", 0.0), with("The dog", 0.0), "{process}");
        assert_ne!(with("The cat", 2.0), with("The dog", 2.0), "{process}");
    }
}

#[test]
fn a_guided_text_depends_on_its_request_alone() {
    let requests = || vec![guided(0, "The cat", 2.0), request(1, "A dog", 24), guided(2, "x", -0.5)];
    let together = write(network(), 3, requests());
    for (request, (_, output)) in requests().into_iter().zip(&together) {
        assert_eq!(write_one(network(), request).ids, output.ids);
    }
    // A long prompt is taken in pass by pass, in both views.
    let long = "word ".repeat(80);
    let (plain, two) = (
        write_one(network(), request(0, &long, 24)),
        write_one(network(), guided(0, &long, 2.0)),
    );
    assert_eq!(two.nfe, 2 * plain.nfe);
}

#[test]
fn a_weight_that_is_no_number_is_refused() {
    let mut engine = drdiff_generation::Engine::new(network(), crate::common::tokenizer(), 1).unwrap();
    let error = engine.submit(guided(0, "x", f64::NAN)).unwrap_err();
    assert!(matches!(error, Error::StyleGuidance(_)), "{error}");
}
