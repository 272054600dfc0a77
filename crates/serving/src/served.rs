//! The model that is served, as far as requests are read and answered with it.

use drdiff_data::{ChatTemplate, Tokenizer};
use drdiff_generation::settings::SETTINGS;
use drdiff_generation::{Choices, NetworkKind};
use drdiff_model::NetworkSpec;
use drdiff_solver::Process;
use serde_json::{Value, json};

use crate::error::{ApiError, ApiResult};

/// What the server knows of its model beside the network, which the engine has.
#[derive(Debug, Clone)]
pub struct Served {
    /// The names that requests may call it by; the first is told.
    pub names: Vec<String>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How conversations are written, if it has a way.
    pub template: Option<ChatTemplate>,
    /// What the network can do.
    pub network: NetworkSpec,
    /// What is chosen for requests that do not choose.
    pub choices: Choices,
    /// blake3 of the weights, in hex.
    pub hash: String,
    /// The revision of the program.
    pub commit: String,
    /// Size of the weights in bytes.
    pub bytes: usize,
}

impl Served {
    /// The name that answers have.
    pub(crate) fn name(&self) -> &str {
        self.names.first().map_or("drdiff", String::as_str)
    }

    /// Refuses the name of another model.
    pub(crate) fn called(&self, name: &str) -> ApiResult<()> {
        match self.names.iter().any(|own| own == name) {
            true => Ok(()),
            false => Err(ApiError::no_model(name, &self.names)),
        }
    }

    /// The kind of its network.
    pub(crate) fn kind(&self) -> NetworkKind {
        NetworkKind::of(&self.network)
    }

    /// What texts depend on beside their requests: the beginnings of the weights' hash and of the revision.
    pub(crate) fn fingerprint(&self) -> String {
        let start = |text: &str, len| text.chars().take(len).collect::<String>();
        format!("{}-{}", start(&self.hash, 8), start(&self.commit, 7))
    }

    /// The model as `/v1/models` tells of it; `created` in seconds since 1970.
    pub(crate) fn card(&self, created: u64) -> Value {
        let can = self.network.capabilities;
        let processes: Vec<&str> = Process::ALL
            .iter()
            .filter(|process| can.soft || !process.is_soft())
            .map(|process| process.name())
            .collect();
        let settings = self.choices.resolve(self.kind()).unwrap_or_default();
        let value = |name: &str| {
            SETTINGS
                .iter()
                .find(|one| one.name == name)
                .map(|one| one.value(&settings))
        };
        json!({
            "id": self.name(), "object": "model", "created": created, "owned_by": "drdiff",
            "meta": {
                "context": self.network.context, "vocab": self.network.vocab, "layers": self.network.layers,
                "bytes": self.bytes, "hash": self.hash, "processes": processes, "fills_gaps": can.masks,
                "block_size": value("block_size"), "steps": value("steps"), "chat_template": self.template.is_some(),
            },
        })
    }
}
