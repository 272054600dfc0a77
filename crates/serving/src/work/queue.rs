//! Texts that wait for a slot, first come first served.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Job, Update};
use crate::error::ApiError;

/// The queue. Waiting texts have no memory in the engine.
#[derive(Default)]
pub(super) struct Queue {
    jobs: VecDeque<Job>,
    /// Whether somebody has another place than was told last.
    moved: bool,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn push(&mut self, job: Job) {
        self.jobs.push_back(job);
        self.moved = true;
    }

    pub(super) fn pop(&mut self) -> Option<Job> {
        self.moved = true;
        self.jobs.pop_front()
    }

    /// Gives up the texts of a client.
    pub(super) fn cancel(&mut self, client: u64) {
        self.keep(|job| job.client != client);
    }

    /// Ends the wait of those who came longer ago than `most`; how many there were.
    pub(super) fn expire(&mut self, most: Duration) -> usize {
        self.keep(|job| {
            let waits = job.came.elapsed() <= most;
            if !waits {
                job.tell(Update::Failed(ApiError::waited_too_long()));
            }
            waits
        })
    }

    /// Ends all waits.
    pub(super) fn end(&mut self, error: &ApiError) -> usize {
        self.keep(|job| {
            job.tell(Update::Failed(error.clone()));
            false
        })
    }

    /// Tells everybody how many wait before them, if that has changed.
    pub(super) fn tell(&mut self) {
        if std::mem::take(&mut self.moved) {
            for (place, job) in self.jobs.iter().enumerate() {
                job.tell(Update::Waiting(place));
            }
        }
    }

    fn keep(&mut self, keep: impl FnMut(&Job) -> bool) -> usize {
        let before = self.jobs.len();
        self.jobs.retain(keep);
        self.moved |= self.jobs.len() < before;
        before - self.jobs.len()
    }
}

impl Job {
    /// Tells who waits for the text; `false` if nobody does any more.
    pub(super) fn tell(&self, update: Update) -> bool {
        self.updates.send((self.index, update)).is_ok()
    }
}
