//! What handlers and the engine's thread share.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::error::{ApiError, ApiResult};
use crate::metrics::Metrics;
use crate::options::Options;
use crate::served::Served;
use crate::work::{Admission, Client, Command};

/// How far the server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    Loading,
    Ready,
    Draining,
    Failed,
}

pub(crate) struct State {
    pub(crate) options: Options,
    pub(crate) metrics: Metrics,
    pub(crate) admission: Admission,
    served: OnceLock<Served>,
    phase: AtomicU8,
    commands: Sender<Command>,
    begun: Instant,
    /// When the engine's thread turned last, in milliseconds after the beginning.
    beat: AtomicU64,
    clients: AtomicU64,
    /// What tells the ids of this server's answers from those of others.
    name: u64,
    created: u64,
}

impl State {
    pub(crate) fn new(options: Options, commands: Sender<Command>) -> Self {
        Self {
            metrics: Metrics::new(options.vllm_metrics),
            admission: Admission::new(options.slots, options.max_waiting),
            options,
            served: OnceLock::new(),
            phase: AtomicU8::new(Phase::Loading as u8),
            commands,
            begun: Instant::now(),
            beat: AtomicU64::new(0),
            clients: AtomicU64::new(0),
            name: RandomState::new().build_hasher().finish() >> 32,
            created: now(),
        }
    }

    /// The model is there.
    pub(crate) fn load(&self, served: Served) {
        // A worker runs once.
        let _ = self.served.set(served);
        let loading = Phase::Loading as u8;
        let _ = self
            .phase
            .compare_exchange(loading, Phase::Ready as u8, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(crate) fn turn(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Why nothing is served now, if nothing is.
    pub(crate) fn closed(&self) -> Option<ApiError> {
        let phase = self.phase.load(Ordering::Acquire);
        [
            (Phase::Loading, ApiError::loading as fn() -> ApiError),
            (Phase::Draining, ApiError::draining),
            (Phase::Failed, ApiError::broken),
        ]
        .into_iter()
        .find(|(closed, _)| *closed as u8 == phase)
        .map(|(_, error)| error())
    }

    /// The model, once it is loaded.
    pub(crate) fn served(&self) -> ApiResult<&Served> {
        self.served.get().ok_or_else(ApiError::loading)
    }

    /// The engine's thread turns.
    pub(crate) fn beat(&self) {
        self.beat
            .store(self.begun.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Whether the engine's thread has turned lately, or has not begun.
    pub(crate) fn lives(&self) -> bool {
        let elapsed = self.begun.elapsed().as_millis() as u64;
        let still = elapsed.saturating_sub(self.beat.load(Ordering::Relaxed));
        self.served.get().is_none() || still < self.options.stall.as_millis() as u64
    }

    /// Somebody new who waits for texts.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.clients.fetch_add(1, Ordering::Relaxed), self.commands.clone())
    }

    /// The id of a client's answer.
    pub(crate) fn id(&self, prefix: &str, client: u64) -> String {
        format!("{prefix}-{:08x}{client:08x}", self.name)
    }

    /// When the server began, in seconds since 1970.
    pub(crate) fn created(&self) -> u64 {
        self.created
    }
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "answers have a date, which no token depends on"
)]
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
