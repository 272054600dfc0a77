//! Networks that predict next tokens: what they write is what they would say of the text as a whole.

use candle_core::{DType, Device, Tensor};
use drdiff_attention::{Segment, block_causal};
use drdiff_generation::{Engine, Error, Request, Settings, Task};
use drdiff_kernels::{Builder, Source, TilePlan};
use drdiff_model::{Head, Input, Mask, ModelConfig, Network};
use drdiff_noise::Noise;
use drdiff_solver::Process;

use crate::common::{END, network, request, tokenizer, write_one};

fn config() -> ModelConfig {
    ModelConfig {
        embed: 32,
        head: Head::Tied,
        mask: Mask::Absent,
        qk_norm_eps: None,
        qkv_bias: true,
        causal_context: true,
        next_token: true,
        context: 512,
        ..network().config().clone()
    }
}

fn language_model(config: &ModelConfig) -> Network {
    let builder = Builder::new(Source::Init(Noise::new(3, 0)), &Device::Cpu);
    let network = Network::new(&builder, config, DType::F32).unwrap();
    let (params, _) = builder.finish();
    // Fresh networks hardly look at the context, and a test of theirs would see nothing.
    for (name, var) in params
        .vars()
        .filter(|(name, _)| name.contains("blocks") || *name == "embedding")
    {
        let factor = if name == "embedding" { 40.0 } else { 3.0 };
        var.set(&(var.as_tensor() * factor).unwrap()).unwrap();
    }
    network.freeze().unwrap()
}

/// The likeliest token behind a text that is read as a whole.
fn likeliest(network: &Network, ids: &[u32]) -> u32 {
    let positions = (0..ids.len() as i64).collect();
    let rotary = network.config().rotary(&[positions], &Device::Cpu).unwrap();
    let segment = Segment {
        batch: 1,
        len: ids.len(),
        plan: TilePlan::new(&[block_causal(ids.len(), 1).unwrap()]).unwrap().into(),
        units: None,
        rotary: &rotary,
        past: None,
    };
    let input = Input::discrete(Tensor::from_slice(ids, ids.len(), &Device::Cpu).unwrap());
    let tables = network.tables(None).unwrap();
    let hidden = network.hidden(&tables, &input, &mut [segment], &mut Default::default());
    let evidence = network.evidence(&hidden.unwrap()).unwrap();
    let logits = network.logits(evidence.tensor()).unwrap();
    let last = logits.get(ids.len() - 1).unwrap();
    last.argmax(0).unwrap().to_scalar().unwrap()
}

/// Token by token, the likeliest each.
fn greedy(mut request: Request) -> Request {
    request.settings.block_size = 1;
    request.settings.sampler.steps = 1;
    request.settings.sampler.sampling.temperature = 0.0;
    request
}

#[test]
fn the_likeliest_text_is_that_of_the_whole() {
    let config = config();
    let long = "It was late, and nobody had come. ".repeat(10);
    for prompt in ["", "The old house", &long] {
        let output = write_one(language_model(&config), greedy(request(1, prompt, 12)));
        let network = language_model(&config);
        // Without a prompt the text begins behind the end of another.
        let mut text: Vec<u32> = prompt.bytes().map(u32::from).collect();
        if text.is_empty() {
            text.push(END);
        }
        let first = text.len();
        for _ in 0..12 {
            text.push(likeliest(&network, &text));
        }
        assert_eq!(output.ids, text[first..], "behind {} bytes", prompt.len());
        let prefill = drdiff_generation::prefill_passes(first, 1);
        assert_eq!((output.nfe, output.canvas_tokens), (12 + prefill, 12));
        let distinct: std::collections::BTreeSet<_> = output.ids.iter().collect();
        assert!(distinct.len() > 2, "the network looks at its text");
    }
}

#[test]
fn texts_in_a_batch_are_those_of_their_own() {
    let config = config();
    let requests: Vec<Request> = ["The old house", "Once", "", "It was late"]
        .iter()
        .enumerate()
        .map(|(id, prompt)| {
            let mut request = greedy(request(id as u64, prompt, 9 + id));
            request.settings.sampler.sampling.temperature = 0.9;
            request
        })
        .collect();
    let together = crate::common::write(language_model(&config), 4, requests.clone());
    for ((_, output), request) in together.into_iter().zip(requests) {
        assert_eq!(output.ids, write_one(language_model(&config), request).ids);
    }
}

#[test]
fn what_such_a_network_cannot_do_is_refused() {
    let mut engine = Engine::new(language_model(&config()), tokenizer(), 1).unwrap();
    let mut told = |change: &dyn Fn(&mut Settings), task: Option<Task>| {
        let mut request = greedy(request(1, "The", 4));
        change(&mut request.settings);
        request.task = task.unwrap_or(request.task);
        match engine.submit(request) {
            Err(error @ Error::Incapable { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let block = |settings: &mut Settings| settings.block_size = 8;
    assert!(told(&block, None).contains("use a block size of 1"));
    let gap = Task::Infill(vec![Some(65), None]);
    assert!(told(&|_| {}, Some(gap)).contains("cannot fill gaps"));
    let soft = |settings: &mut Settings| settings.sampler.process = Process::Gaussian;
    assert!(told(&soft, None).contains("no soft positions"));
    assert!(told(&|settings| settings.self_condition = true, None).contains("last prediction"));
}
