//! A tiny network and a tokenizer whose ids are bytes.

use candle_core::{DType, Device, Tensor};
use drdiff_attention::AttentionConfig;
use drdiff_data::{END_OF_TEXT, Tokenizer};
use drdiff_generation::{Engine, Event, Output, Request, Settings, Task};
use drdiff_kernels::{Builder, Params, Source};
use drdiff_model::{DenoisingNetwork, ModelConfig, Network};
use drdiff_noise::Noise;
use drdiff_routing::{Budget, RouterKind, RoutingConfig};
use drdiff_solver::SamplerConfig;
use serde_json::{Map, Value, json};

/// Id of the end of a text: the one behind the 256 bytes.
pub(crate) const END: u32 = 256;

/// Positions that the tiny network knows.
pub(crate) const CONTEXT: usize = 64;

/// A byte-level tokenizer without merges: the id of a byte is the byte.
pub(crate) fn tokenizer() -> Tokenizer {
    let mut others = '\u{100}'..;
    let vocab: Map<String, Value> = (0..=u8::MAX)
        .map(|byte| {
            let spelled = match byte {
                b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
                _ => others.next().expect("there are enough characters"),
            };
            (spelled.to_string(), json!(byte))
        })
        .collect();
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false });
    let end = json!({
        "id": END, "content": END_OF_TEXT, "special": true, "normalized": false,
        "single_word": false, "lstrip": false, "rstrip": false,
    });
    let file = json!({
        "version": "1.0", "added_tokens": [end], "pre_tokenizer": byte_level, "decoder": byte_level,
        "model": { "type": "BPE", "vocab": vocab, "merges": [] },
    });
    Tokenizer::from_bytes(file.to_string().as_bytes()).expect("a valid tokenizer.json")
}

/// A random network, and its parameters, which it shares.
fn random(vocab: usize) -> (Network, Params) {
    random_with(ModelConfig { vocab, ..config() })
}

fn config() -> ModelConfig {
    ModelConfig {
        vocab: 257,
        width: 32,
        embed: 24,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_dim: 16,
        hidden: 48,
        context: CONTEXT,
        rope_base: 10_000.0,
        rope_scaling: None,
        qk_norm_eps: Some(1e-6),
        qkv_bias: false,
        head: Default::default(),
        mask: Default::default(),
        causal_context: false,
        next_token: false,
        norm_eps: 1e-6,
        noise_conditioning: false,
        embedding_skips: false,
        form: Default::default(),
        attention: Default::default(),
        routing: Default::default(),
    }
}

fn random_with(config: ModelConfig) -> (Network, Params) {
    let builder = Builder::new(Source::Init(Noise::new(3, 0)), &Device::Cpu);
    let network = Network::new(&builder, &config, DType::F32).expect("a possible shape");
    let (params, _) = builder.finish();
    // Fresh networks hardly look at the context, and a test of theirs would see nothing.
    for (_, var) in params.vars().filter(|(name, _)| name.ends_with("evidence_map")) {
        var.set(&(var.as_tensor() * 30.0).expect("a product"))
            .expect("the same shape");
    }
    (network, params)
}

/// A random network whose predictions depend on the context.
pub(crate) fn network() -> Network {
    random(257).0.freeze().expect("tables")
}

/// A random network with a number that is none.
pub(crate) fn damaged() -> Network {
    let (network, params) = random(257);
    let (_, var) = params
        .vars()
        .find(|(name, _)| name.ends_with("evidence_map"))
        .expect("it has one");
    var.set(&(var.as_tensor() * f64::NAN).expect("a product"))
        .expect("the same shape");
    network.freeze().expect("tables")
}

/// A random network for `vocab` tokens.
pub(crate) fn network_of(vocab: usize) -> Network {
    random(vocab).0.freeze().expect("tables")
}

/// A random network for sequences of `context` tokens that attends by a plan.
pub(crate) fn attending(attention: AttentionConfig, context: usize) -> Network {
    let config = ModelConfig {
        attention,
        context,
        ..config()
    };
    random_with(config).0.freeze().expect("tables")
}

/// A random network with routed experts in its upper layer, whose routers tell rows apart.
pub(crate) fn routed(kind: RouterKind) -> Network {
    let routing = RoutingConfig {
        kind,
        experts: 4,
        expert_hidden: 16,
        entropy: true,
        budget: Budget { min: 0.25, max: 1.0 },
        ..RoutingConfig::default()
    };
    let (network, params) = random_with(ModelConfig { routing, ..config() });
    for (_, var) in params
        .vars()
        .filter(|(name, _)| name.contains("router") || name.contains("experts.down"))
    {
        var.set(&(var.as_tensor() * 20.0).expect("a product"))
            .expect("the same shape");
    }
    // What a router knows of the last prediction moves each expert another way.
    for (_, var) in params.vars().filter(|(name, _)| name.ends_with("router.entropy")) {
        let moves = Tensor::new(&[[4f32, -4.0, 2.0, -2.0], [-1.0, 1.0, 3.0, -3.0]], &Device::Cpu);
        var.set(&moves.expect("a tensor")).expect("the same shape");
    }
    network.freeze().expect("tables")
}

/// A network that is certain of one token everywhere.
pub(crate) fn certain_of(token: u32) -> Network {
    let (network, params) = random(257);
    let bias: Vec<f32> = (0..257).map(|id| if id == token { 1e4 } else { 0.0 }).collect();
    let (_, var) = params.vars().find(|(name, _)| *name == "bias").expect("a bias");
    var.set(&Tensor::new(bias, &Device::Cpu).expect("a tensor"))
        .expect("the same shape");
    network.freeze().expect("tables")
}

/// A request to continue `prompt`, which never stops early.
pub(crate) fn request(id: u64, prompt: &str, tokens: usize) -> Request {
    let mut settings = Settings {
        tokens,
        block_size: 8,
        seed: 5,
        stop_at_end: false,
        sampler: SamplerConfig::plain(),
        ..Settings::default()
    };
    settings.sampler.steps = 4;
    let task = Task::Continue(prompt.bytes().map(u32::from).collect::<Vec<_>>().into());
    Request::new(id, task, settings)
}

/// Writes all texts and gives them back in the order of their requests' ids.
pub(crate) fn write(
    network: impl DenoisingNetwork + 'static,
    capacity: usize,
    requests: Vec<Request>,
) -> Vec<(u64, Output)> {
    let mut engine = Engine::new(network, tokenizer(), capacity).expect("a tokenizer that fits");
    write_in(&mut engine, requests)
}

/// The same in an engine that is there.
pub(crate) fn write_in(engine: &mut Engine, requests: Vec<Request>) -> Vec<(u64, Output)> {
    requests
        .into_iter()
        .for_each(|request| engine.submit(request).expect("a possible request"));
    let mut outputs = Vec::new();
    let mut streamed = std::collections::BTreeMap::<u64, String>::new();
    while !engine.is_idle() {
        for event in engine.step().expect("a pass") {
            match event {
                Event::BlockCommitted { request, text, .. } => streamed.entry(request).or_default().push_str(&text),
                Event::Finished { request, output } => outputs.push((request, output)),
                Event::Failed { request, error } => panic!("request {request}: {error}"),
                Event::Pass { .. } => {}
            }
        }
    }
    outputs.sort_by_key(|(id, _)| *id);
    for (id, output) in &outputs {
        assert_eq!(streamed[id], output.text, "the streamed text is the text");
        assert_eq!(output.text, engine.tokenizer().decode(&output.ids));
    }
    outputs
}

/// Writes one text alone.
pub(crate) fn write_one(network: impl DenoisingNetwork + 'static, request: Request) -> Output {
    write(network, 1, vec![request]).remove(0).1
}
