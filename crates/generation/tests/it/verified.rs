//! Draft and check: the text of block size 1, in other passes.

use candle_core::{DType, Device};
use drdiff_generation::{DraftForm, Engine, Error, Event, Output, Request, Settings, Task};
use drdiff_kernels::{Builder, Source};
use drdiff_model::{Head, ModelConfig, Network};
use drdiff_noise::Noise;
use drdiff_solver::{CommitSchedule, DraftLength, FrequencyConfig, Process};
use drdiff_testkit::between_samples;

use crate::common::{CONTEXT, network, request, tokenizer, write_in};

/// Which of a network's rows check: its clean ones, or masked ones.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Checks {
    Clean,
    Masked,
}

/// A network whose context is causal, in the form of adapted language models.
fn adapted(checks: Checks) -> Network {
    let config = ModelConfig {
        embed: 32,
        head: Head::Tied,
        qk_norm_eps: None,
        causal_context: true,
        next_token: checks == Checks::Clean,
        ..network().config().clone()
    };
    let builder = Builder::new(Source::Init(Noise::new(3, 0)), &Device::Cpu);
    let network = Network::new(&builder, &config, DType::F32).unwrap();
    let (params, _) = builder.finish();
    // Fresh networks hardly look at the context, and a test of theirs would see nothing.
    for (name, var) in params
        .vars()
        .filter(|(name, _)| name.contains("blocks") || *name == "embedding")
    {
        let factor = if name == "embedding" { 12.0 } else { 3.0 };
        var.set(&(var.as_tensor() * factor).unwrap()).unwrap();
    }
    network.freeze().unwrap()
}

/// A request that is written token by token, with temperature, `top_p` and penalty on.
fn alone(id: u64, prompt: &str, tokens: usize) -> Request {
    let mut request = request(id, prompt, tokens);
    let settings = &mut request.settings;
    settings.block_size = 1;
    settings.stop_at_end = false;
    let sampler = &mut settings.sampler;
    sampler.steps = 1;
    sampler.sampling.temperature = 0.8;
    sampler.sampling.top_p = 0.9;
    sampler.frequency = FrequencyConfig {
        penalty: 0.9,
        window: 20,
        level: 15,
    };
    request
}

/// The same by draft and check.
fn drafted(mut request: Request, length: DraftLength) -> Request {
    request.settings.sampler.commit = CommitSchedule::Verified;
    request.settings.sampler.draft_length = length;
    request
}

fn cold(mut request: Request) -> Request {
    request.settings.sampler.sampling.temperature = 0.0;
    request
}

fn engine(checks: Checks, form: DraftForm, capacity: usize) -> Engine {
    let mut engine = Engine::new(adapted(checks), tokenizer(), capacity).unwrap();
    engine.draft_in(form);
    engine
}

fn one(checks: Checks, form: DraftForm, request: Request) -> Output {
    write_in(&mut engine(checks, form, 1), vec![request]).remove(0).1
}

const FORMS: [DraftForm; 2] = [DraftForm::TwoPasses, DraftForm::OnePass];

#[test]
fn the_likeliest_text_is_that_of_block_size_one() {
    let long = "It was late, and nobody had come. ".repeat(9);
    for checks in [Checks::Clean, Checks::Masked] {
        // Beyond the window as well, and behind a prompt that takes several passes.
        for (prompt, tokens) in [
            ("", 30),
            ("The old house", CONTEXT + 30),
            (long.as_str(), 5),
            ("A", 1),
            ("A", 2),
        ] {
            let request = cold(alone(0, prompt, tokens));
            let wanted = one(checks, DraftForm::TwoPasses, request.clone());
            for length in [1, 2, 5, 16]
                .map(DraftLength::Tokens)
                .into_iter()
                .chain([DraftLength::Auto])
            {
                for form in FORMS {
                    let found = one(checks, form, drafted(request.clone(), length));
                    assert_eq!(
                        found.ids, wanted.ids,
                        "{checks:?}, {form:?}, drafts of {length}, {tokens} behind {prompt:?}"
                    );
                    assert_eq!(found.committed_tokens, tokens);
                    assert!(found.nfe <= wanted.nfe, "a pass decides a token at least");
                }
            }
        }
    }
}

#[test]
fn either_form_writes_the_same_text() {
    let (mut passes, mut accepted) = ([0, 0], 0);
    for seed in 0..12 {
        for length in [1, 3, 6]
            .map(DraftLength::Tokens)
            .into_iter()
            .chain([DraftLength::Auto])
        {
            let mut request = drafted(alone(0, "The old house", 40), length);
            request.settings.seed = seed;
            let [two, one] = FORMS.map(|form| one(Checks::Clean, form, request.clone()));
            assert_eq!(two.ids, one.ids, "seed {seed}, drafts of {length}");
            assert_eq!(two.drafts, one.drafts);
            passes = [passes[0] + two.nfe, passes[1] + one.nfe];
            accepted += two.drafts.unwrap().accepted.iter().sum::<usize>();
        }
    }
    assert!(accepted > 100, "{accepted} drafts were accepted");
    assert!(passes[1] < passes[0], "{passes:?}");
}

#[test]
fn batch_mates_change_nothing() {
    let requests: Vec<Request> = ["The old house", "Once", "", "It was late", "The old house"]
        .iter()
        .enumerate()
        .map(|(id, prompt)| {
            let request = alone(id as u64, prompt, 9 + 4 * id);
            // One is not drafted.
            match id {
                3 => request,
                _ => drafted(request, DraftLength::Tokens(3)),
            }
        })
        .collect();
    for form in FORMS {
        let together = write_in(&mut engine(Checks::Clean, form, 4), requests.clone());
        for ((_, output), request) in together.into_iter().zip(&requests) {
            let alone = one(Checks::Clean, form, request.clone());
            assert_eq!(output.ids, alone.ids, "{form:?}, request {}", request.id);
        }
    }
}

#[test]
fn texts_are_distributed_as_at_block_size_one() {
    const DRAWS: u64 = 10_000;
    let draw = |length: Option<DraftLength>| {
        let requests = (0..DRAWS).map(|id| {
            let mut request = alone(id, "The", 3);
            let sampler = &mut request.settings.sampler;
            (sampler.sampling.temperature, sampler.sampling.top_p) = (0.7, 0.6);
            match length {
                Some(length) => drafted(request, length),
                None => Request {
                    id: id + DRAWS,
                    ..request
                },
            }
        });
        let outputs = write_in(&mut engine(Checks::Clean, DraftForm::OnePass, 50), requests.collect());
        let mut counts = std::collections::BTreeMap::<Vec<u32>, u64>::new();
        let mut fared = [0, 0];
        for (_, output) in outputs {
            *counts.entry(output.ids).or_default() += 1;
            if let Some(drafts) = output.drafts {
                let sum = |places: &[usize]| places.iter().sum::<usize>();
                fared = [fared[0] + sum(&drafts.accepted), fared[1] + sum(&drafts.drafted)];
            }
        }
        if length.is_some() {
            let [accepted, drafted] = fared;
            assert!(
                accepted > 500 && drafted - accepted > 500,
                "{accepted} of {drafted} drafts were accepted"
            );
        }
        counts
    };
    let alone = draw(None);
    let drafted = draw(Some(DraftLength::Tokens(2)));
    let texts: std::collections::BTreeSet<&Vec<u32>> = alone.keys().chain(drafted.keys()).collect();
    let counts = [&alone, &drafted].map(|sample| {
        let count = |text: &&Vec<u32>| sample.get(*text).copied().unwrap_or_default();
        texts.iter().map(count).collect::<Vec<u64>>()
    });
    let p = between_samples(&counts[0], &counts[1]);
    let often = alone.values().filter(|count| **count >= 10).count();
    assert!(often > 20 && p > 0.01, "chi-squared p {p}, {often} frequent texts");
}

#[test]
fn a_text_ends_where_it_would() {
    let request = cold(alone(0, "The old house", 40));
    let whole = one(Checks::Clean, DraftForm::TwoPasses, request.clone());
    let mut stopped = request.clone();
    // A stop string from the middle of the text.
    let middle: Vec<char> = whole.text.chars().skip(11).take(2).collect();
    stopped.settings.stop = vec![middle.into_iter().collect()];
    let wanted = one(Checks::Clean, DraftForm::TwoPasses, stopped.clone());
    assert!(wanted.ids.len() < whole.ids.len());
    for form in FORMS {
        let found = one(Checks::Clean, form, drafted(stopped.clone(), DraftLength::Tokens(4)));
        assert_eq!(
            (found.text, found.ids, found.stop),
            (wanted.text.clone(), wanted.ids.clone(), wanted.stop)
        );
    }
    for seed in 0..4 {
        let mut guided = cold(alone(0, "The old house", 20));
        (guided.settings.style_guidance, guided.settings.seed) = (1.7, seed);
        let wanted = one(Checks::Clean, DraftForm::TwoPasses, guided.clone());
        for form in FORMS {
            let found = one(Checks::Clean, form, drafted(guided.clone(), DraftLength::Tokens(3)));
            assert_eq!(found.ids, wanted.ids, "under guidance");
        }
    }
}

#[test]
fn events_tell_what_was_drafted() {
    let request = drafted(alone(0, "The old house", 30), DraftLength::Tokens(3));
    for form in FORMS {
        let mut engine = engine(Checks::Clean, form, 1);
        engine.submit(request.clone()).unwrap();
        let (mut events, mut output) = (Vec::new(), None);
        while !engine.is_idle() {
            for event in engine.step().unwrap() {
                match event {
                    Event::Finished { output: finished, .. } => output = Some(finished),
                    other => events.push(other),
                }
            }
        }
        let output = output.unwrap();
        let counts = output.drafts.unwrap();
        let mut waiting = Vec::new();
        let (mut ids, mut accepted, mut passes) = (Vec::new(), 0, 0);
        for event in events {
            let Event::Pass { canvas, report, .. } = event else {
                continue;
            };
            passes += 1;
            let committed: Vec<u32> = report.committed.iter().map(|choice| choice.token).collect();
            let drafts =
                |choices: &[drdiff_solver::Choice]| choices.iter().map(|choice| choice.token).collect::<Vec<_>>();
            assert_eq!(canvas.len(), committed.len() + report.provisional.len());
            accepted += committed.len() - usize::from(!report.rejected.is_empty() || !report.provisional.is_empty());
            if form == DraftForm::OnePass && !waiting.is_empty() {
                let kept = committed.len() - 1;
                assert_eq!(
                    committed[..kept],
                    waiting[..kept],
                    "accepted drafts are those that waited"
                );
                assert_eq!(drafts(&report.rejected), waiting[kept..]);
            }
            waiting = drafts(&report.provisional);
            ids.extend(committed);
        }
        assert_eq!(ids, output.ids);
        assert_eq!(passes, output.nfe);
        assert_eq!((counts.drafted.len(), counts.accepted.len() <= 3), (3, true));
        assert_eq!(
            counts.cycles + counts.accepted.iter().sum::<usize>(),
            30,
            "every token ends a draft or was one"
        );
        assert!(accepted > 0);
    }
}

#[test]
fn what_cannot_be_checked_is_refused() {
    let told = |network: Network, change: &dyn Fn(&mut Settings), task: Option<Task>| {
        let mut request = drafted(alone(1, "The", 4), DraftLength::Auto);
        change(&mut request.settings);
        request.task = task.unwrap_or(request.task);
        match Engine::new(network, tokenizer(), 1).unwrap().submit(request) {
            Err(error @ (Error::Verified { .. } | Error::Incapable { .. } | Error::Solver(_))) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let told_of = |change: &dyn Fn(&mut Settings)| told(adapted(Checks::Clean), change, None);
    assert!(told(network(), &|_| {}, None).contains("not read causally"));
    assert!(told_of(&|settings| settings.block_size = 8).contains("leave the block size"));
    assert!(told_of(&|settings| settings.sampler.process = Process::Gaussian).contains("`absorbing`"));
    assert!(
        told_of(&|settings| settings.sampler.draft_length = DraftLength::Tokens(17)).contains("draft length is 17")
    );
    let gap = Task::Infill(vec![Some(65), None]);
    assert!(told(adapted(Checks::Clean), &|_| {}, Some(gap)).contains("fills no gaps"));
}
