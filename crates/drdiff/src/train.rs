//! Training runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use candle_core::Device;
use drdiff_data::Corpus;
use drdiff_training::{Event, Outcome, Run, RunFolder, TrainConfig, Trainer};

use crate::{Error, Result, TOKENIZER, place_of_tokenizer};

/// The tensor library walks a loss back by recursion, a few calls deep for each operation of the network.
pub const TRAINING_STACK: usize = 256 << 20;

/// Trains a network from nothing on the CPU, on the corpus folder `data`, and leaves the model in the folder `out`. A run that is in
/// `out` already goes on. `observe` sees every event after it is logged.
///
/// # Errors
/// If the configuration makes no sense, the corpus cannot be read, `out` is not a run's, or the loss diverges; the last checkpoint
/// is kept.
///
/// # Panics
/// If `observe` panics.
pub fn train(
    config: TrainConfig,
    data: impl AsRef<Path>,
    out: impl AsRef<Path>,
    mut observe: impl FnMut(&Event) + Send,
) -> Result<Outcome> {
    let (data, out) = (data.as_ref(), out.as_ref());
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(TRAINING_STACK);
        let work = || train_here(config, data, out, &mut observe);
        let running = thread.spawn_scoped(scope, work);
        let running = running.map_err(|error| Error::Input(format!("cannot start a thread: {error}")))?;
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn train_here(config: TrainConfig, data: &Path, out: &Path, observe: &mut dyn FnMut(&Event)) -> Result<Outcome> {
    let corpus = Corpus::open(data)?;
    // What is wrong with a new run is told before it has a folder.
    let begin = || Trainer::new(config.clone(), &corpus, None, &Device::Cpu);
    let new = (!RunFolder::look(out)?).then(begin).transpose()?;
    let folder = RunFolder::take(out)?;
    // A run that another process began meanwhile is gone on with, not written over.
    let mut trainer = match new.filter(|_| !folder.is_begun()) {
        Some(trainer) => trainer,
        None => Trainer::resume(config.clone(), &corpus, out, &Device::Cpu)?,
    };
    put_words(&corpus, out)?;
    let run = Run {
        dir: out,
        commit: "library",
        stop: &Arc::new(AtomicBool::new(false)),
        limit: None,
    };
    Ok(drdiff_training::run(&mut trainer, &run, observe)?)
}

/// Puts the tokenizer of a corpus into the folder of its run, which then is a model folder from the first checkpoint on.
///
/// # Errors
/// If the folder holds another tokenizer, or cannot be written.
pub fn put_words(corpus: &Corpus, out: &Path) -> Result<()> {
    let json = corpus.tokenizer().json();
    let Some(place) = place_of_tokenizer(&out.join(TOKENIZER), json)? else {
        return Ok(());
    };
    place.write(json)?;
    for (name, content) in corpus.beside()? {
        if let Some(place) = place_of_tokenizer(&out.join(name), &content)? {
            place.write(&content)?;
        }
    }
    Ok(())
}
