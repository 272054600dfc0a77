//! The account of an answer: a metric and a line of the log, whatever becomes of it.

use std::sync::Arc;
use std::time::Instant;

use crate::ask::Route;
use crate::state::State;

/// What nginx logs for a client that has gone.
const GONE: u16 = 499;

/// Counts the answer once; one that is dropped before was given up by its client.
pub(crate) struct Tally {
    state: Arc<State>,
    id: String,
    route: Route,
    came: Instant,
    told: bool,
    pub(crate) tokens: usize,
    pub(crate) nfe: usize,
}

impl Tally {
    pub(crate) fn new(state: Arc<State>, id: String, route: Route, came: Instant) -> Self {
        Self {
            state,
            id,
            route,
            came,
            told: false,
            tokens: 0,
            nfe: 0,
        }
    }

    /// The answer is complete, or has failed.
    pub(crate) fn end(mut self, code: u16, finish: &str) {
        self.tell(code, finish);
    }

    fn tell(&mut self, code: u16, finish: &str) {
        self.told = true;
        self.state.metrics.answered(self.route.path(), code, finish);
        tracing::info!(
            id = self.id,
            route = self.route.path(),
            code,
            finish,
            tokens = self.tokens,
            nfe = self.nfe,
            seconds = self.came.elapsed().as_secs_f64(),
        );
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if !self.told {
            self.tell(GONE, "cancelled");
        }
    }
}
