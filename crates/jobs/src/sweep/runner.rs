//! Writes the texts of a sweep, each once: what the journal holds is not written again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use drdiff_files::{FolderLock, make_folder};
use drdiff_generation::{Engine, Event, Prompt, Request, Settings, Task};

use super::cell::Cell;
use super::config::SweepConfig;
use super::error::Result;
use super::judged::JUDGED;
use super::output::NAMES;
use super::text::{MadeBy, ModelId, Provenance, Slot, TextRecord, slots};
use crate::batch::Journal;

/// The file in the output folder that holds every finished text.
pub const TEXTS: &str = "texts.jsonl";
const LOCK: &str = "sweep.lock";

/// Everything that a sweep writes in `folder`.
#[must_use]
pub fn outputs(folder: &Path) -> Vec<PathBuf> {
    let names = NAMES.iter().chain([&TEXTS, &JUDGED]);
    names.map(|name| folder.join(name)).collect()
}

/// What a runner tells while it works.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A cell begins.
    Cell {
        /// Its place in the plan, from 0.
        index: usize,
        /// Its settings.
        cell: &'a Cell,
        /// Texts that are still to be written.
        missing: usize,
    },
    /// So many texts took part in a network pass.
    Pass(usize),
    /// A text is finished and in the journal.
    Text(&'a TextRecord),
    /// A text failed; the others go on.
    Failed(drdiff_generation::Error),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All cells were gone through; so many texts failed.
    Finished {
        /// Texts that failed and are missing in the results.
        failed: usize,
    },
    /// It was asked to stop. What is finished is in the journal.
    Stopped,
}

/// The texts of a sweep in its output folder.
#[derive(Debug)]
pub struct Runner {
    config: SweepConfig,
    prompts: Vec<String>,
    provenance: Provenance,
    done: HashMap<String, TextRecord>,
    journal: Journal,
    _lock: FolderLock,
}

impl Runner {
    /// Asks whether the folder can be a sweep's, before anything long is begun. Nothing is made.
    ///
    /// # Errors
    /// If it holds files of a sweep's names that no sweep has written.
    pub fn look(folder: &Path) -> Result<()> {
        // The lock is the first thing that a sweep leaves. Where there is none, the other names are somebody else's.
        match outputs(folder).into_iter().find(|path| path.exists()) {
            Some(path) if !folder.join(LOCK).exists() => Err(drdiff_files::Error::Exists { path }.into()),
            _ => Ok(()),
        }
    }

    /// Takes the output folder, which is made if it does not exist, and reads what is done.
    ///
    /// Texts are known by the hash of their settings, prompt, noise, model and device. So a sweep that was changed goes
    /// on with what still fits: new cells are written, and cells that were taken out stay in the journal.
    ///
    /// # Errors
    /// If another process works in the folder, it holds files of these names that no sweep has written, or the journal is damaged or cannot be written.
    pub fn open(folder: &Path, config: SweepConfig, prompts: Vec<String>, provenance: Provenance) -> Result<Self> {
        Self::look(folder)?;
        make_folder(folder)?;
        let lock = FolderLock::take(folder, LOCK)?;
        let mut done = HashMap::new();
        let journal = Journal::open(&folder.join(TEXTS), |record: TextRecord| {
            done.insert(record.key.clone(), record);
        })?;
        Ok(Self {
            config,
            prompts,
            provenance,
            done,
            journal,
            _lock: lock,
        })
    }

    /// The prompts that all cells share.
    #[must_use]
    pub fn prompts(&self) -> &[String] {
        &self.prompts
    }

    /// Texts of one cell.
    #[must_use]
    pub fn texts_per_cell(&self) -> usize {
        slots(&self.config, self.prompts.len()).len()
    }

    /// Texts of a cell that are still to be written.
    #[must_use]
    pub fn missing(&self, cell: &Cell, model: &ModelId) -> usize {
        self.open_slots(cell, model).len()
    }

    /// The finished texts of a cell, seed by seed, prompt by prompt.
    #[must_use]
    pub fn texts(&self, cell: &Cell, model: &ModelId) -> Vec<&TextRecord> {
        slots(&self.config, self.prompts.len())
            .into_iter()
            .filter_map(|slot| self.done.get(&self.made_by(cell, slot, model).key(slot.request)))
            .collect()
    }

    /// Writes what is missing of those of `cells` that use `model`, which `engine` holds.
    ///
    /// # Errors
    /// If a pass fails or the journal cannot be written; finished texts are kept.
    pub fn run(
        &mut self,
        engine: &mut Engine,
        model: &ModelId,
        cells: &[Cell],
        stop: &AtomicBool,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Outcome> {
        let batch = self.config.batch;
        let mut failed = 0;
        let mut is_warm = false;
        for (index, cell) in cells.iter().enumerate().filter(|(_, cell)| cell.model == model.name) {
            let open = self.open_slots(cell, model);
            tell(Progress::Cell {
                index,
                cell,
                missing: open.len(),
            });
            if !open.is_empty() && !is_warm {
                warm_up(engine, cell)?;
                is_warm = true;
            }
            // A request is known by its id alone, which texts of different seeds share.
            let of_seed = open.chunk_by(|a, b| a.seed == b.seed);
            for group in of_seed.flat_map(|slots| slots.chunks(batch)) {
                if stop.load(Ordering::Relaxed) {
                    return Ok(Outcome::Stopped);
                }
                match self.write(engine, model, cell, group, stop, tell)? {
                    Outcome::Finished { failed: more } => failed += more,
                    Outcome::Stopped => return Ok(Outcome::Stopped),
                }
            }
        }
        Ok(Outcome::Finished { failed })
    }

    /// Writes a group of texts at once.
    fn write(
        &mut self,
        engine: &mut Engine,
        model: &ModelId,
        cell: &Cell,
        group: &[Slot],
        stop: &AtomicBool,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Outcome> {
        let mut open: Vec<(Slot, f64)> = Vec::with_capacity(group.len());
        for slot in group {
            let made_by = self.made_by(cell, *slot, model);
            engine.submit(Request {
                id: slot.request,
                task: Task::behind(&made_by.prompt, engine.tokenizer())?,
                settings: made_by.settings,
            })?;
            open.push((*slot, 0.0));
        }
        let mut failed = 0;
        while !open.is_empty() {
            let begun = Instant::now();
            let events = engine.step()?;
            let share = begun.elapsed().as_secs_f64() / open.len() as f64;
            open.iter_mut().for_each(|(_, seconds)| *seconds += share);
            tell(Progress::Pass(open.len()));
            for event in events {
                let place = |request| open.iter().position(|(slot, _)| slot.request == request);
                match event {
                    Event::Finished { request, output } => {
                        let Some(place) = place(request) else { continue };
                        let (slot, seconds) = open.remove(place);
                        let made_by = self.made_by(cell, slot, model);
                        let record = made_by.record(slot, output, seconds, &self.provenance.commit);
                        self.journal.append(&record)?;
                        tell(Progress::Text(&record));
                        self.done.insert(record.key.clone(), record);
                    }
                    Event::Failed { request, error } => {
                        let Some(place) = place(request) else { continue };
                        open.remove(place);
                        failed += 1;
                        tell(Progress::Failed(error));
                    }
                    _ => {}
                }
            }
            if stop.load(Ordering::Relaxed) && !open.is_empty() {
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Finished { failed })
    }

    fn open_slots(&self, cell: &Cell, model: &ModelId) -> Vec<Slot> {
        let mut slots = slots(&self.config, self.prompts.len());
        slots.retain(|slot| {
            !self
                .done
                .contains_key(&self.made_by(cell, *slot, model).key(slot.request))
        });
        slots
    }

    fn made_by(&self, cell: &Cell, slot: Slot, model: &ModelId) -> MadeBy {
        let prompt = &self.prompts[slot.prompt];
        MadeBy::new(
            cell,
            slot,
            prompt,
            self.config.batch,
            &model.hash,
            &self.provenance.device,
        )
    }
}

/// Writes one block and forgets it: the first passes of a process pay for memory and code that later ones find ready.
fn warm_up(engine: &mut Engine, cell: &Cell) -> Result<()> {
    let settings = Settings {
        tokens: cell.settings.block_size,
        ..cell.settings.clone()
    };
    engine.submit(Request {
        id: u64::MAX,
        task: Task::Continue(Prompt::default()),
        settings,
    })?;
    while !engine.is_idle() {
        engine.step()?;
    }
    Ok(())
}
