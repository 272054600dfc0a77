//! One training step after another, each a function of the configuration, the corpus and the step's number.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device, Tensor};
use drdiff_data::{Corpus, Sampler};
use drdiff_kernels::{Builder, Params, Source, Tape};
use drdiff_model::Layouts;
use drdiff_model::{Checkpoint, Imported, Loading, Network, NoisedBatch, TrainableNetwork, build};
use drdiff_noise::{Noise, Purpose};

use crate::accumulate::{Accumulated, Sum};
use crate::adapt::{Guided, Original};
use crate::changes::Change;
use crate::distill::{self, Lesson, Teacher};
use crate::exercises::Drill;
use crate::learned::Learned;
use crate::prompt_dropout;
use crate::{Error, Optimizer, Result, RoutingLoad, TrainConfig};

/// Everything that a run carries from step to step.
pub struct Trainer<'a> {
    pub(crate) config: TrainConfig,
    pub(crate) corpus: &'a Corpus,
    pub(crate) network: Network,
    pub(crate) optimizer: Optimizer,
    layouts: Layouts,
    /// Steps taken.
    pub(crate) step: u64,
    /// Text tokens seen.
    pub(crate) tokens: u64,
    /// What differs from the run that this one goes on with.
    pub(crate) changes: Vec<Change>,
    /// Who teaches, in a distillation.
    pub(crate) teacher: Option<Teacher>,
    /// Who teaches, in an adaptation.
    original: Option<Original>,
    sampler: Sampler<'a>,
    drill: Option<Drill>,
    noise: Noise,
    ready: Option<Ready>,
}

/// What a step leaves behind, still on the device: reading it waits for the step to end.
pub struct StepOutput {
    /// Loss, a scalar; that of masked tokens where a teacher or next tokens count as well.
    pub loss: Tensor,
    /// Cross-entropy of next tokens, a scalar, if they are learned.
    pub next_token: Option<Tensor>,
    /// Norm of the gradient before clipping, a scalar.
    pub norm: Tensor,
    /// What the routers did.
    pub load: RoutingLoad,
}

impl<'a> Trainer<'a> {
    /// A new run; `weights` are taken as a start if given, with fresh optimiser state.
    ///
    /// # Errors
    /// If the configuration makes no sense, or does not fit the corpus or the weights; if there is nobody to distil from.
    pub fn new(config: TrainConfig, corpus: &'a Corpus, weights: Option<Checkpoint>, device: &Device) -> Result<Self> {
        if config.distill.is_some() && weights.is_none() {
            let reason = "a distillation begins with a trained network; name one with `--from`";
            return Err(Error::Config(reason.to_owned()));
        }
        Self::begin(config, corpus, weights, device)
    }

    /// [`Trainer::new`] for weights that may come later.
    pub(crate) fn begin(
        config: TrainConfig,
        corpus: &'a Corpus,
        weights: Option<Checkpoint>,
        device: &Device,
    ) -> Result<Self> {
        config.validate()?;
        let vocab = corpus.tokenizer().vocab_size();
        // Tables of others may be padded.
        if vocab > config.model.vocab || (vocab < config.model.vocab && !config.model.next_token) {
            let wanted = config.model.vocab;
            return Err(Error::Config(format!(
                "`model.vocab` is {wanted}, the corpus has {vocab} tokens; set it to {vocab}"
            )));
        }
        let noise = Noise::new(config.seed, 0);
        let (network, params) = match weights {
            Some(checkpoint) if !checkpoint.metadata.config.fits(&config.model) => {
                return Err(Error::Config(
                    "`model` differs from the shape of the starting weights".to_owned(),
                ));
            }
            Some(mut checkpoint) => {
                // Plan, context and routers may be others than those that the weights were trained with.
                checkpoint.metadata.config = config.model.clone();
                build(checkpoint, device, Loading::Training)?
            }
            None => initialise(&config, noise, device)?,
        };
        let len = config.model.context;
        Ok(Self {
            optimizer: Optimizer::new(&params, &config.optimizer)?,
            layouts: Layouts::new(&config.model, len, device)?,
            sampler: corpus.sampler(&config.sampling, len, noise)?,
            drill: Drill::new(config.exercises, corpus.tokenizer(), noise)?,
            step: 0,
            tokens: 0,
            changes: Vec::new(),
            ready: None,
            teacher: None,
            original: None,
            corpus,
            network,
            noise,
            config,
        })
    }

    /// Lets the frozen language model that an adaptation began with teach, by the share that `adapt.teacher` says.
    ///
    /// # Errors
    /// If it does not predict next tokens of the same vocabulary, or the memory cannot be had.
    pub fn taught_by(mut self, model: Imported) -> Result<Self> {
        self.original = Some(Original::new(model, &self.config, self.network.device())?);
        Ok(self)
    }

    /// Steps taken so far.
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// Tiers of the corpus that are shorter than one window and are not learned from, with their tokens.
    pub fn tiers_left_out(&self) -> &[(String, u64)] {
        self.sampler.left_out()
    }

    /// Text tokens seen so far.
    pub fn tokens_seen(&self) -> u64 {
        self.tokens
    }

    /// What of configuration and corpus is not as it was when the run was stopped, but for cadence, rates and steps; nothing
    /// for a new run.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The network with its current weights.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// One optimiser step.
    ///
    /// # Errors
    /// If the corpus cannot be read or an operation fails.
    pub fn step(&mut self) -> Result<StepOutput> {
        self.take_step(&Tape::new)
    }

    /// [`Trainer::step`], given up soon after `stop` is set: then there is no output, and the trainer is what it was before, so
    /// that it can be saved and the step be taken later.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn step_until(&mut self, stop: &Arc<AtomicBool>) -> Result<Option<StepOutput>> {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match self.take_step(&|| Tape::until(stop.clone())) {
            Ok(output) => Ok(Some(output)),
            Err(error) if error.is_stop() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One step, each pass of which is recorded on a tape of its own. Nothing is learned before all of them are done.
    fn take_step(&mut self, tape: &dyn Fn() -> Tape) -> Result<StepOutput> {
        self.refresh_teacher()?;
        if self.original.is_none() && self.config.adapt.is_some_and(|adapt| adapt.teacher > 0.0) {
            return Err(Error::Config(
                "`adapt.teacher` wants a teacher; name the language model with `--teacher`, or set it to 0".to_owned(),
            ));
        }
        let passes = self.config.accumulate as u64;
        let mut sum = Accumulated::default();
        for key in self.step * passes..(self.step + 1) * passes {
            let tape = tape();
            let (learned, weight) = self.pass(key, &tape)?;
            sum.add(learned, weight, &tape)?;
            // A GPU still works on this pass when its operations have been queued: time to draw the next one.
            self.ready = Some(self.draw(key + 1)?);
        }
        let Sum {
            gradients,
            loss,
            next_token,
            load,
        } = sum.mean()?;
        let rate = self.config.rate(self.step);
        let norm = self.optimizer.step(gradients, rate, &self.config.optimizer)?;
        self.step += 1;
        self.tokens += passes * (self.config.batch * self.config.model.context) as u64;
        Ok(StepOutput {
            loss,
            next_token,
            norm,
            load,
        })
    }

    /// The loss of forward pass `key`, and what its targets weigh.
    fn pass(&mut self, key: u64, tape: &Tape) -> Result<(Learned, f64)> {
        let ready = match self.ready.take() {
            Some(ready) if ready.key == key => ready,
            _ => self.draw(key)?,
        };
        let layout = self.layouts.of(&ready.corrupted, ready.block_size)?;
        let weight = ready.corrupted.weight();
        if let (Some(lesson), Some(teacher), Some(distill)) = (&ready.lesson, &self.teacher, &self.config.distill) {
            let learned = self.taught((teacher, distill), lesson, (&ready.corrupted, &layout), tape)?;
            return Ok((learned, weight));
        }
        let conditioned = self.noise.uniform(Purpose::SelfCondition, key, 0) < self.config.self_conditioning;
        let taught = match (&self.original, &ready.guided) {
            (Some(original), Some((tokens, guided))) => Some(original.teach(tokens, guided)?),
            _ => None,
        };
        let (corrupted, taught) = (&ready.corrupted, taught.as_ref());
        let loss = self.network.loss(corrupted, &layout, conditioned, taught, Some(tape))?;
        Ok((loss.try_into()?, weight))
    }

    /// Draws pass `key` on the host: windows, block size, levels, noise.
    fn draw(&self, key: u64) -> Result<Ready> {
        let TrainConfig { batch, model, .. } = &self.config;
        let windows = self.sampler.batch(key, 0..*batch as u64)?;
        let mut tokens: Vec<u32> = windows.into_iter().flat_map(|window| window.ids).collect();
        let block_size = self.config.block_size(self.noise.uniform(Purpose::BlockSize, key, 0));
        let whole = block_size == model.context && self.config.distill.is_none();
        let (levels, lesson, hidden) = match &self.config.distill {
            Some(distill) => {
                let round = distill.round(key / self.config.accumulate as u64, self.config.steps);
                let drawn = distill::draw(&self.config, distill, round, block_size, (self.noise, key))?;
                (drawn.levels, Some(drawn.lesson), drawn.hidden)
            }
            None => {
                let levels = self.config.levels(block_size);
                let mut levels = levels.draw(&self.noise, key, *batch, model.context, block_size)?;
                let hidden = self.config.prompt_dropout.draw(&self.noise, key, *batch);
                prompt_dropout::hide(&mut levels, &hidden, model.context);
                if let Some(drill) = self.drill.as_ref().filter(|_| whole) {
                    drill.write(key, model.context, &mut tokens, &mut levels)?;
                }
                (levels, None, hidden)
            }
        };
        let budget = model.routing.budget.at(self.noise.uniform(Purpose::Compute, key, 0));
        let sizes = (model.vocab, model.embed);
        let mut corrupted = NoisedBatch::new(&tokens, &levels, *batch, sizes, (self.noise, key));
        corrupted.hide(&hidden, model.vocab);
        if whole {
            corrupted = corrupted.alone();
        }
        let mut corrupted = corrupted.in_blocks(&levels, block_size, budget);
        let mut guided = None;
        if let Some(adapt) = &self.config.adapt {
            if adapt.next_token > 0.0 && !whole {
                let end = self.corpus.tokenizer().end_of_text();
                corrupted = corrupted.with_next_tokens(&tokens, end, adapt.next_token);
            }
            if self.original.is_some() {
                let guide = Guided::new(&corrupted, &levels, (model.context, block_size), adapt.teacher);
                guided = Some((tokens, guide));
            }
        }
        Ok(Ready {
            key,
            block_size,
            corrupted,
            lesson,
            guided,
        })
    }
}

/// A pass that has been drawn and waits for its turn.
struct Ready {
    key: u64,
    block_size: usize,
    corrupted: NoisedBatch,
    lesson: Option<Lesson>,
    /// Its tokens, and which of its rows the original teaches.
    guided: Option<(Vec<u32>, Guided)>,
}

fn initialise(config: &TrainConfig, noise: Noise, device: &Device) -> Result<(Network, Params)> {
    let mut builder = Builder::new(Source::Init(noise), device);
    if config.zero_init_projections {
        builder = builder.zero_residuals();
    }
    let dtype = if device.is_cuda() { DType::BF16 } else { DType::F32 };
    let network = Network::new(&builder, &config.model, dtype)?;
    Ok((network, builder.finish().0))
}
