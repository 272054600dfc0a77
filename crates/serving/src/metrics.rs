//! What the server counts, in the text format of Prometheus.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper ends of latencies in seconds: those that vLLM has for the same.
const SECONDS: [f64; 21] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0,
];

/// Upper ends of small numbers.
const COUNTS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 128.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    code: u16,
    finish: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: String,
}

/// The counters of one server.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) waiting: Gauge,
    pub(crate) running: Gauge,
    pub(crate) cache: Gauge<f64, AtomicU64>,
    requests: Family<Answered, Counter>,
    rejections: Family<Reason, Counter>,
    pub(crate) prompt_tokens: Counter,
    pub(crate) generation_tokens: Counter,
    pub(crate) passes: Counter,
    pub(crate) rows: Counter,
    pub(crate) queue: Histogram,
    pub(crate) first_block: Histogram,
    pub(crate) between_blocks: Histogram,
    pub(crate) request: Histogram,
    pub(crate) pass: Histogram,
    pub(crate) steps: Histogram,
    pub(crate) slots: Histogram,
}

impl Metrics {
    /// Counters at zero.
    pub(crate) fn new(vllm: bool) -> Self {
        let (seconds, counts) = (|| Histogram::new(SECONDS), || Histogram::new(COUNTS));
        let mut metrics = Self {
            registry: Registry::default(),
            waiting: Gauge::default(),
            running: Gauge::default(),
            cache: Gauge::default(),
            requests: Family::default(),
            rejections: Family::default(),
            prompt_tokens: Counter::default(),
            generation_tokens: Counter::default(),
            passes: Counter::default(),
            rows: Counter::default(),
            queue: seconds(),
            first_block: seconds(),
            between_blocks: seconds(),
            request: seconds(),
            pass: seconds(),
            steps: counts(),
            slots: counts(),
        };
        metrics.register(vllm);
        metrics
    }

    fn register(&mut self, vllm: bool) {
        let all = &mut self.registry;
        if vllm {
            let theirs = all.sub_registry_with_prefix("vllm:num");
            theirs.register("requests_waiting", "Texts that wait", self.waiting.clone());
            theirs.register("requests_running", "Texts that are written", self.running.clone());
        }
        let own = all.sub_registry_with_prefix("drdiff");
        own.register("requests_waiting", "Texts that wait for a slot", self.waiting.clone());
        own.register("requests_running", "Texts that are written", self.running.clone());
        own.register(
            "cache_usage_ratio",
            "Share of the slots that are taken",
            self.cache.clone(),
        );
        own.register(
            "requests",
            "Answers by route, status and finish reason",
            self.requests.clone(),
        );
        own.register("rejections", "Requests that were not taken in", self.rejections.clone());
        own.register("prompt_tokens", "Tokens of prompts", self.prompt_tokens.clone());
        own.register(
            "generation_tokens",
            "Tokens that were written",
            self.generation_tokens.clone(),
        );
        own.register("passes", "Network passes", self.passes.clone());
        own.register("rows", "Rows of all passes", self.rows.clone());
        own.register("queue_seconds", "Time from request to slot", self.queue.clone());
        let first = self.first_block.clone();
        own.register(
            "time_to_first_block_seconds",
            "Time from request to the first block",
            first,
        );
        own.register(
            "inter_block_seconds",
            "Time from block to block",
            self.between_blocks.clone(),
        );
        own.register("request_seconds", "Time from request to its end", self.request.clone());
        own.register("pass_seconds", "Time of a network pass", self.pass.clone());
        own.register("steps_per_block", "Network passes of a block", self.steps.clone());
        own.register("slots_per_pass", "Texts in a network pass", self.slots.clone());
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, route: &str, code: u16, finish: &str) {
        let (route, finish) = (route.to_owned(), finish.to_owned());
        self.requests.get_or_create(&Answered { route, code, finish }).inc();
    }

    /// Counts a request that was not taken in.
    pub(crate) fn rejected(&self, reason: &str) {
        let reason = reason.to_owned();
        self.rejections.get_or_create(&Reason { reason }).inc();
    }

    /// The page that Prometheus reads.
    pub(crate) fn page(&self) -> String {
        let mut page = String::new();
        // Writing into a string cannot fail.
        let _ = encode(&mut page, &self.registry);
        page
    }
}
