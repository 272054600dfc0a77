//! The engine from request to text, with a tiny random network.

use candle_core::{Device, Tensor};
use drdiff_attention::{KvCache, PassLayout, Past, Segment, pass};
use drdiff_generation::{Engine, Error, Event, Request, Settings, StopReason, Task};
use drdiff_kernels::{Rotary, TilePlan};
use drdiff_model::{Input, Network, Soft};
use drdiff_routing::{ComputeReport, Read};
use drdiff_solver::{Process, SolverConfig};
use drdiff_testkit::{Inputs, assert_close, relative_rms, tensor, values};

use crate::common::{CONTEXT, END, certain_of, damaged, network, network_of, request, tokenizer, write, write_one};

const BLOCK: usize = 4;

/// An absorbed position, two soft ones and an anchor.
const NOISY: [u32; BLOCK] = [257, 258, 65, 259];

/// Evidence and logits of `NOISY` behind `clean`, or nothing where `noisy` is false; the text before is in the cache.
fn run(
    network: &Network,
    clean: &[u32],
    noisy: bool,
    first: usize,
    mut cache: Option<&mut KvCache>,
) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let config = network.config();
    let block: &[u32] = if noisy { &NOISY } else { &[] };
    let index: Vec<u32> = clean.iter().chain(block).copied().collect();
    let layout = PassLayout {
        committed: cache.as_ref().map_or(0, |cache| cache.visible()),
        clean: clean.len(),
        clean_block: BLOCK,
        noisy: block.len(),
    };
    let positions = (first..first + index.len()).map(|p| p as i64).collect();
    let rotary = Rotary::new(&[positions], config.head_dim, config.rope_base, &Device::Cpu)?;
    let mut input = Input::discrete(Tensor::new(index.as_slice(), &Device::Cpu)?);
    if noisy {
        let evidence = Inputs::new(1).numbers(2 * config.embed);
        input.soft = Some(Soft::new(tensor(&evidence, &[2, config.embed])?)?);
    }
    input.read = match noisy {
        true => Read::Rows(Tensor::from_iter(clean.len() as u32..index.len() as u32, &Device::Cpu)?),
        false => Read::Nothing,
    };
    let segment = Segment {
        batch: 1,
        len: index.len(),
        plan: TilePlan::new(&[pass(layout)?])?.into(),
        units: None,
        rotary: &rotary,
        past: cache.take().map(Past::Cache),
    };
    let hidden = network.hidden(
        &network.tables(None)?,
        &input,
        &mut [segment],
        &mut ComputeReport::default(),
    )?;
    if !noisy {
        return Ok(Vec::new());
    }
    let evidence = network.evidence(&hidden)?;
    let mut found = values(evidence.tensor())?;
    found.extend(values(&network.logits(evidence.tensor())?)?);
    Ok(found)
}

#[test]
fn the_cache_is_exact() {
    let network = network();
    let text: Vec<u32> = Inputs::new(2)
        .whole(6 * BLOCK, 256)
        .into_iter()
        .map(|id| id as u32)
        .collect();
    let whole = run(&network, &text, true, 0, None).unwrap();
    let bank = network.bank((CONTEXT, CONTEXT), 1).unwrap();
    let mut cache = KvCache::seated(&bank).unwrap().unwrap();
    let mut at = 0;
    // Several blocks at once, one by one, with and without a noisy block behind them; the last pass only denoises.
    for (len, noisy) in [(2 * BLOCK, true), (BLOCK, true), (3 * BLOCK, false), (0, true)] {
        let found = run(&network, &text[at..at + len], noisy, at, Some(&mut cache)).unwrap();
        cache.commit(len, CONTEXT).unwrap();
        at += len;
        if noisy {
            assert_close("prefix", &found, &run(&network, &text[..at], true, 0, None).unwrap());
        }
    }
    let cached = run(&network, &[], true, at, Some(&mut cache)).unwrap();
    assert_close("cached against whole", &cached, &whole);
    let other = run(&network, &text[BLOCK..], true, BLOCK, None).unwrap();
    assert!(relative_rms("other", &other, &whole) > 1e-3, "the first block matters");
}

#[test]
fn a_text_depends_on_its_request_alone() {
    for process in Process::ALL.iter().copied() {
        let requests: Vec<Request> = [("", 24), ("Once upon a time", 9), ("The cat", 40), ("a", 1), ("b", 17)]
            .into_iter()
            .enumerate()
            .map(|(id, (prompt, tokens))| {
                let mut request = request(id as u64, prompt, tokens);
                request.settings.sampler.process = process;
                request.settings.self_condition = id == 2;
                request
            })
            .collect();
        let together = write(network(), 4, requests.clone());
        assert_eq!(together, write(network(), 4, requests.clone()), "{process}: again");
        let ids = |outputs: &[(u64, drdiff_generation::Output)]| -> Vec<Vec<u32>> {
            outputs.iter().map(|(_, output)| output.ids.clone()).collect()
        };
        let reversed = write(network(), 3, requests.iter().rev().cloned().collect());
        assert_eq!(ids(&together), ids(&reversed), "{process}: in another order");
        for (request, (_, output)) in requests.into_iter().zip(&together) {
            assert_eq!(write_one(network(), request).ids, output.ids, "{process}: alone");
        }
    }
}

#[test]
fn a_text_goes_on_as_if_its_start_had_been_the_prompt() {
    for process in Process::ALL.iter().copied() {
        let mut whole = request(0, "The cat ", 32);
        whole.settings.sampler.process = process;
        let mut rest = whole.clone();
        let ids = write_one(network(), whole).ids;
        let Task::Continue(prompt) = &mut rest.task else {
            unreachable!()
        };
        prompt.ids.extend(&ids[..16]);
        rest.settings.tokens = 16;
        assert_eq!(write_one(network(), rest).ids, ids[16..], "{process}");
    }
}

#[test]
fn prompt_seed_and_id_matter() {
    let base = write_one(network(), request(0, "The cat", 16)).ids;
    assert_ne!(base, write_one(network(), request(0, "The dog", 16)).ids);
    assert_ne!(base, write_one(network(), request(1, "The cat", 16)).ids);
    let mut other = request(0, "The cat", 16);
    other.settings.seed += 1;
    assert_ne!(base, write_one(network(), other).ids);
}

#[test]
fn every_process_and_solver_writes_what_was_asked_for() {
    let (tokens, blocks, steps) = (19, 3, 4);
    for process in Process::ALL.iter().copied() {
        let solvers = if process.is_soft() {
            SolverConfig::ALL
        } else {
            &SolverConfig::ALL[..1]
        };
        for solver in solvers.iter().copied() {
            let mut request = request(0, "The", tokens);
            request.settings.sampler.process = process;
            request.settings.sampler.solver = solver;
            let output = write_one(network(), request);
            assert_eq!(output.ids.len(), tokens, "{process} {solver}");
            assert_eq!((output.committed_tokens, output.stop), (tokens, StopReason::Length));
            assert!(
                (blocks..=blocks * steps).contains(&output.nfe),
                "{process} {solver}: {}",
                output.nfe
            );
            assert!(output.canvas_tokens <= output.nfe * 8);
            if process == Process::Gaussian {
                assert_eq!(output.nfe, blocks * steps);
            }
        }
    }
}

#[test]
fn pinned_tokens_stay() {
    let canvas: Vec<Option<u32>> = "The __ sat ___!"
        .bytes()
        .map(|b| (b != b'_').then_some(b.into()))
        .collect();
    for process in Process::ALL.iter().copied() {
        let mut request = request(0, "", 1);
        request.settings.sampler.process = process;
        request.task = Task::Infill(canvas.clone());
        let output = write_one(network(), request);
        assert_eq!(output.ids.len(), canvas.len());
        for (id, pinned) in output.ids.iter().zip(&canvas) {
            assert!(pinned.is_none_or(|pinned| pinned == *id), "{process}");
        }
        assert!(output.nfe <= 4);
    }
}

#[test]
fn the_model_can_end_the_text() {
    let mut ends = request(0, "The", 30);
    ends.settings.stop_at_end = true;
    let output = write_one(certain_of(END), ends.clone());
    assert_eq!(
        (output.stop, output.text.as_str(), output.ids.len()),
        (StopReason::End, "", 0)
    );
    assert_eq!(output.committed_tokens, 8);
    ends.settings.stop_at_end = false;
    let output = write_one(certain_of(END), ends);
    assert_eq!((output.stop, output.ids), (StopReason::Length, vec![END; 30]));
}

#[test]
fn an_incomplete_character_at_the_end_is_shown() {
    let output = write_one(certain_of(0xC3), request(0, "", 9));
    assert_eq!(output.text, "\u{fffd}".repeat(9));
}

#[test]
fn a_prompt_of_unknown_tokens_is_refused() {
    let mut engine = Engine::new(network(), tokenizer(), 1).unwrap();
    let vocab = engine.network().spec().vocab;
    let task = Task::Continue(vec![65, vocab as u32].into());
    let request = Request {
        id: 0,
        task,
        settings: Settings::default(),
    };
    assert!(matches!(engine.submit(request), Err(Error::UnknownToken { token, .. }) if token as usize == vocab));
}

#[test]
fn impossible_requests_are_refused() {
    let mut engine = Engine::new(network(), tokenizer(), 1).unwrap();
    let mut refused = |task: Task, tokens, block_size, wanted: (&str, usize)| {
        let settings = Settings {
            tokens,
            block_size,
            ..Settings::default()
        };
        match engine.submit(Request { id: 0, task, settings }) {
            Err(Error::Length { what, asked, .. }) => assert_eq!((what, asked), wanted),
            other => panic!("{wanted:?}: {other:?}"),
        }
        assert!(engine.is_idle());
    };
    let prompt = || Task::Continue(vec![65].into());
    refused(prompt(), 0, 8, ("a number of tokens", 0));
    refused(prompt(), 8, 0, ("a block size", 0));
    refused(prompt(), 100, CONTEXT + 1, ("a block", CONTEXT + 1));
    let long = (1 << 20) + 1;
    refused(Task::Continue(vec![65; long].into()), 8, 8, ("a prompt", long));
    refused(Task::Infill(vec![Some(65); 3]), 8, 8, ("a gap length", 0));
    refused(
        Task::Infill(vec![None; CONTEXT + 1]),
        8,
        8,
        ("a text to fill", CONTEXT + 1),
    );
    let mut no_steps = request(0, "", 8);
    no_steps.settings.sampler.steps = 0;
    assert!(matches!(engine.submit(no_steps), Err(Error::Solver(_))));
}

#[test]
fn a_tokenizer_of_another_network_is_refused() {
    let error = Engine::new(network_of(300), tokenizer(), 1).err().expect("an error");
    assert!(matches!(error, Error::Vocabulary { has: 257, needs: 300 }), "{error}");
}

#[test]
fn prompts_and_texts_may_be_longer_than_the_context() {
    // 700 tokens are three passes, the last of which denoises already.
    let output = write_one(network(), request(0, &"A long story. ".repeat(50), 3 * CONTEXT));
    assert_eq!(output.ids.len(), 3 * CONTEXT);
    assert!(output.nfe <= 2 + 3 * CONTEXT / 8 * 4, "{}", output.nfe);
    // The smallest window: blocks as large as the context.
    let mut wide = request(0, &"x".repeat(300), 2 * CONTEXT + 5);
    wide.settings.block_size = CONTEXT;
    assert_eq!(write_one(network(), wide).ids.len(), 2 * CONTEXT + 5);
}

#[test]
fn texts_that_share_memory_do_not_see_each_other() {
    // Beyond the window, with prompts of several lengths, of which some are taken in while others are written.
    let requests: Vec<_> = [("", 3), ("The cat", 2), (&*"A long story. ".repeat(40), 2), ("Once", 1)]
        .into_iter()
        .zip(0..)
        .map(|((prompt, contexts), id)| request(id, prompt, contexts * CONTEXT))
        .collect();
    let together = write(network(), 3, requests.clone());
    for (request, (_, output)) in requests.into_iter().zip(together) {
        assert_eq!(write_one(network(), request).ids, output.ids);
    }
}

#[test]
fn predictions_that_nothing_depends_on_are_not_made() {
    for commit in ["random", "spread", "confidence"] {
        let mut request = request(0, "The cat", 24);
        request.settings.sampler.commit = commit.parse().unwrap();
        let run = |shows| {
            let mut engine = Engine::new(network(), tokenizer(), 1).unwrap();
            engine.show_predictions(shows);
            engine.submit(request.clone()).unwrap();
            let (mut seen, mut output) = (0, None);
            while !engine.is_idle() {
                for event in engine.step().unwrap() {
                    match event {
                        Event::Pass { report, .. } => seen += report.committed.len() + report.provisional.len(),
                        Event::Finished { output: whole, .. } => output = Some(whole),
                        _ => {}
                    }
                }
            }
            (seen, output.unwrap())
        };
        let ((all, shown), (few, plain)) = (run(true), run(false));
        assert_eq!((&shown.ids, shown.nfe), (&plain.ids, plain.nfe), "{commit}");
        // Blocks of 8 in 4 steps: 8, 6, 4 and 2 positions are open, 2 of them are committed.
        match commit {
            "confidence" => assert_eq!((all, few, shown.flops), (60, 60, plain.flops)),
            _ => assert!(
                (all, few) == (60, 24) && shown.flops > plain.flops,
                "{commit}: {few} of {all}"
            ),
        }
    }
}

#[test]
fn damaged_weights_are_told_at_their_first_step_whatever_the_process() {
    for process in Process::ALL {
        let mut request = request(7, "ab", 8);
        request.settings.sampler.process = *process;
        request.settings.sampler.steps = 4;
        let mut engine = Engine::new(damaged(), tokenizer(), 1).unwrap();
        engine.submit(request).unwrap();
        let events = engine.step().unwrap();
        let [Event::Failed { error, .. }] = events.as_slice() else {
            panic!("{process}: {events:?}");
        };
        assert!(
            matches!(
                error,
                Error::NotANumber {
                    request: 7,
                    block: 0,
                    step: 0,
                    ..
                }
            ),
            "{process}: {error}"
        );
        assert!(engine.is_idle());
    }
}
