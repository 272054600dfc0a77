//! Text that is being written.

use std::collections::VecDeque;

use drdiff_generation::{Engine, Event, Output};

use crate::{Error, Result};

/// An iterator over what happens while text is written. It ends with the last text, or behind the first error.
pub struct Writing {
    engine: Engine,
    events: VecDeque<Event>,
    failed: bool,
}

impl Writing {
    /// Over an engine with requests.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        let (events, failed) = (VecDeque::new(), false);
        Self { engine, events, failed }
    }

    /// Writes to the end of one text and returns it with its statistics.
    ///
    /// # Errors
    /// If writing fails.
    pub fn finish(self) -> Result<Output> {
        for event in self {
            if let Event::Finished { output, .. } = event? {
                return Ok(output);
            }
        }
        Err(Error::Input("nothing was asked for; submit a request first".to_owned()))
    }
}

impl Iterator for Writing {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.failed {
                return None;
            }
            match self.events.pop_front() {
                Some(Event::Failed { error, .. }) => {
                    self.failed = true;
                    return Some(Err(error.into()));
                }
                Some(event) => return Some(Ok(event)),
                None if self.engine.is_idle() => return None,
                None => match self.engine.step() {
                    Ok(events) => self.events.extend(events),
                    Err(error) => {
                        self.failed = true;
                        return Some(Err(error.into()));
                    }
                },
            }
        }
    }
}
