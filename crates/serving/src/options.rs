//! What a server is started with.

use std::time::Duration;

/// Limits and habits of a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Texts that are written at once.
    pub slots: usize,
    /// Texts that may wait for a slot; of more the server tells clients to try again later.
    pub max_waiting: usize,
    /// How long a text may wait.
    pub queue_timeout: Duration,
    /// How long a text may be written.
    pub timeout: Duration,
    /// How long texts may still be written once the server is asked to end.
    pub drain: Duration,
    /// How long the engine may stand still before `/live` says so.
    pub stall: Duration,
    /// How long a client may leave a stream unread.
    pub patience: Duration,
    /// Bytes of a body at most.
    pub max_body: usize,
    /// Tokens of a text at most.
    pub max_tokens: usize,
    /// What clients must send, if anything.
    pub key: Option<String>,
    /// The web origin whose pages may call the server, or `*`.
    pub cors: Option<String>,
    /// Whether the server is for this machine alone, so that other names of it are refused.
    pub local: bool,
    /// Whether the numbers of waiting and running texts are given under vLLM's names as well.
    pub vllm_metrics: bool,
}

impl Default for Options {
    /// 4 slots, 64 waiting for up to 60 s, 600 s for a text, 30 s to drain, bodies of 8 MiB and texts of 8,192 tokens.
    fn default() -> Self {
        Self {
            slots: 4,
            max_waiting: 64,
            queue_timeout: Duration::from_secs(60),
            timeout: Duration::from_secs(600),
            drain: Duration::from_secs(30),
            stall: Duration::from_secs(60),
            patience: Duration::from_secs(30),
            max_body: 8 << 20,
            max_tokens: 8192,
            key: None,
            cors: None,
            local: true,
            vllm_metrics: false,
        }
    }
}
