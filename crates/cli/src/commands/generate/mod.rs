//! `drdiff generate`: one text, streamed while it is written.

mod args;
mod explain;
mod prompt;
mod record;
mod trace;
mod view;
mod wrap;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;
use drdiff_data::{ChatTemplate, Message};
use drdiff_files::Output;
use drdiff_generation::{Engine, Event, Request, Settings, Task, shown};
use drdiff_kernels::device;

pub(crate) use args::GenerateArgs;
use drdiff::{Source, files_of, kind_of};

use crate::exit::Exit;
use crate::memory::peak_bytes;
use crate::model::find;
use crate::output::{Out, remark, tell};
use crate::sampler::unusual;
use crate::{COMMIT, interrupt};
use explain::Explanation;
use record::{Record, Setup, Written};
use trace::Trace;
use view::{Place, View};

/// Noise is keyed by the request as well; there is only one here.
const REQUEST: u64 = 0;

pub(crate) fn run(args: GenerateArgs) -> Result<Exit> {
    let started = Instant::now();
    let outputs = Outputs::claim(&args)?;
    let kind = kind_of(args.model.as_deref());
    let choices = args.sampler.choices(args.quiet)?;
    let was_chosen = choices.get("seed").is_some();
    let settings = choices.seeded().resolve(kind)?;
    if !args.infill {
        settings.check_steps()?;
    }
    let mut view = View::new(&args)?;
    let prompt = prompt::read(&args)?;
    let stop = interrupt::flag();
    let source = find(args.model.as_deref(), args.quiet)?;
    let (network, tokenizer) = source.load(&device(args.device)?)?;
    let load_seconds = started.elapsed().as_secs_f64();

    let setup = setup(&args, &source, &prompt, settings);
    let task = match (args.infill, args.chat) {
        (true, _) => Task::within(&prompt, &tokenizer)?,
        (_, true) => answer(&args, &prompt, &source.template()?)?,
        _ => Task::behind(&prompt, &tokenizer)?,
    };
    let mut engine = Engine::new(network, tokenizer, 1)?;
    let wanted = match &task {
        Task::Infill(canvas) => canvas.len(),
        Task::Continue(_) => setup.settings.tokens,
    };
    engine.submit(Request {
        shows_predictions: args.watch || args.trace.is_some(),
        ..Request::new(REQUEST, task, setup.settings.clone())
    })?;
    if let Some(sentence) = unusual(setup.settings.compute, engine.network().spec()) {
        remark(args.quiet, &sentence);
    }
    let trace = outputs.trace.map(|output| Trace::create(&output, &setup)).transpose()?;
    let explanation = outputs
        .explanation
        .map(|output| Explanation::new(output, engine.network().spec()))
        .transpose()?;
    engine.show_experts(explanation.is_some());

    if !args.infill && !args.chat && !args.no_echo {
        view.text(&shown(&prompt))?;
    }
    let mut writing = Writing {
        engine,
        view,
        trace,
        explanation,
        wanted,
        steps: setup.steps,
        begun: Instant::now(),
        written: Written::default(),
    };
    let result = writing.drive(&stop);
    // Text that is written stays written, whatever ended it.
    writing.view.finish()?;
    let exit = result?;
    writing.trace.map_or(Ok(()), Trace::finish)?;
    if let Some(explanation) = writing.explanation {
        let map = explanation.finish()?;
        if !args.quiet {
            tell(&map);
        }
    }
    if !was_chosen && !args.json {
        let seed = setup.settings.seed;
        remark(args.quiet, &format!("--seed {seed} writes this text again"));
    }
    let wall_seconds = started.elapsed().as_secs_f64();
    if args.json {
        let peak_bytes = peak_bytes(writing.engine.network().device());
        print(&writing.written, &setup, [load_seconds, wall_seconds], peak_bytes)?;
    }
    Ok(exit)
}

/// The answer to a message.
fn answer(args: &GenerateArgs, prompt: &str, template: &ChatTemplate) -> Result<Task> {
    let system = args.system.iter().map(|text| Message::new("system", text.as_str()));
    let messages: Vec<Message> = system.chain([Message::new("user", prompt)]).collect();
    Ok(Task::answer(&messages, Some(template))?)
}

/// The files that are written beside the text.
struct Outputs {
    trace: Option<Output>,
    explanation: Option<Output>,
}

impl Outputs {
    /// Looks at them before anything is read, so that none is one of the inputs.
    fn claim(args: &GenerateArgs) -> Result<Self> {
        let mut inputs = files_of(args.model.as_deref());
        inputs.extend(args.sampler.files().map(Path::to_owned));
        match (&args.prompt, &args.file) {
            (Some(_), _) => {}
            (None, Some(file)) => inputs.push(file.clone()),
            (None, None) => inputs.push("-".into()),
        }
        let trace = args.trace.as_deref().map(|path| trace::claim(path, &inputs));
        let trace = trace.transpose()?;
        inputs.extend(args.trace.clone());
        let explanation = args.explain.as_deref().map(|path| explain::claim(path, &inputs));
        Ok(Self {
            trace,
            explanation: explanation.transpose()?,
        })
    }
}

/// A text in the making, with all that follows it.
struct Writing {
    engine: Engine,
    view: View,
    trace: Option<Trace>,
    explanation: Option<Explanation>,
    /// Tokens that the text will have at most.
    wanted: usize,
    steps: usize,
    begun: Instant,
    written: Written,
}

impl Writing {
    fn drive(&mut self, stop: &AtomicBool) -> Result<Exit> {
        while !self.engine.is_idle() {
            for event in self.engine.step()? {
                self.take(event)?;
            }
            if stop.load(Ordering::Relaxed) && !self.engine.is_idle() {
                return Ok(Exit::Interrupted);
            }
        }
        Ok(Exit::Done)
    }

    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Pass {
                block,
                step,
                nfe,
                canvas,
                report,
                compute,
                ..
            } => {
                self.written.pass(nfe, &canvas, &compute);
                let tokenizer = self.engine.tokenizer();
                if let Some(trace) = &mut self.trace {
                    trace.pass(
                        [block, step, nfe],
                        self.begun.elapsed().as_secs_f64(),
                        &report,
                        &compute,
                        tokenizer,
                    )?;
                }
                if let Some(explanation) = &mut self.explanation {
                    explanation.pass(block, &canvas, &compute, tokenizer);
                }
                let tokens = self.written.ids.len() + canvas.iter().flatten().count();
                let place = Place {
                    block,
                    step,
                    steps: self.steps,
                    nfe,
                    tokens,
                    wanted: self.wanted,
                };
                self.view.pass(&place, &canvas, &report, tokenizer);
            }
            Event::BlockCommitted { text, tokens, .. } => {
                self.written.block(&text, tokens);
                self.view.text(&text)?;
            }
            Event::Finished { output, .. } => self.written.finish(output),
            Event::Failed { error, .. } => return Err(error.into()),
        }
        Ok(())
    }
}

fn setup(args: &GenerateArgs, source: &Source, prompt: &str, settings: Settings) -> Setup {
    let sampler = &settings.sampler;
    Setup {
        version: env!("CARGO_PKG_VERSION"),
        commit: COMMIT,
        model: source.path.display().to_string(),
        model_hash: source.hash(),
        device: crate::device::name(args.device),
        prompt: prompt.to_owned(),
        process: sampler.process.name(),
        solver: if sampler.process.is_soft() {
            sampler.solver.name()
        } else {
            "ancestral"
        },
        steps: sampler.steps,
        block_size: settings.block_size,
        seed: settings.seed,
        settings,
    }
}

fn print(
    written: &Written,
    setup: &Setup,
    [load_seconds, wall_seconds]: [f64; 2],
    peak_bytes: Option<u64>,
) -> Result<()> {
    Out::default().json(&Record {
        text: &written.text,
        ids: &written.ids,
        stop_reason: written.stop_reason(),
        nfe: written.nfe,
        tokens_committed: written.tokens_committed,
        canvas_tokens: written.canvas_tokens,
        flops: written.flops,
        scoring_flops: written.scoring_flops,
        routed: &written.routed,
        drafts: written.drafts.as_ref(),
        load_seconds,
        wall_seconds,
        peak_bytes,
        setup,
    })
}
