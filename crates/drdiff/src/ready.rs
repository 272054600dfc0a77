//! A model that is ready to write.

use std::path::Path;
use std::rc::Rc;

use candle_core::Device;
use drdiff_data::{ChatTemplate, Message, Tokenizer};
use drdiff_generation::{Engine, NetworkKind, Output, Request, Task};
use drdiff_model::DenoisingNetwork;

use crate::{Result, Settings, Source, Writing};

/// Loads a model to the CPU: a folder or weights file of this program, a folder as Hugging Face keeps them, or a GGUF file of
/// llama.cpp.
///
/// # Errors
/// If there is no model, or one that cannot be used.
pub fn load(path: impl AsRef<Path>) -> Result<Model> {
    Model::load(Some(path.as_ref()), &Device::Cpu)
}

/// The model that every command without `--model` takes: that of the environment variable `DRDIFF_MODEL`, or the bundled one.
///
/// # Errors
/// If there is none.
pub fn load_default() -> Result<Model> {
    Model::load(None, &Device::Cpu)
}

/// A network, its tokenizer and its chat template. Clones share the weights.
#[derive(Clone)]
pub struct Model {
    network: Rc<dyn DenoisingNetwork>,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
}

impl Model {
    /// Loads a model, or the default one, to a device.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(path: Option<&Path>, device: &Device) -> Result<Self> {
        let source = Source::find(path)?;
        let (network, tokenizer) = source.load(device)?;
        let template = source.words()?.template;
        Ok(Self {
            template,
            ..Self::of(network, tokenizer)
        })
    }

    /// Of a network of your own and the tokenizer that its ids come from, without a chat template.
    #[must_use]
    pub fn of(network: impl DenoisingNetwork + 'static, tokenizer: Tokenizer) -> Self {
        Self {
            network: Rc::new(network),
            tokenizer,
            template: None,
        }
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Whether the model has a chat template.
    #[must_use]
    pub fn can_chat(&self) -> bool {
        self.template.is_some()
    }

    /// Writes on from `prompt`. The text comes in events, one or more for each block.
    ///
    /// # Errors
    /// If the settings or the prompt are impossible for the model.
    pub fn generate(&self, prompt: &str, settings: &Settings) -> Result<Writing> {
        self.write(Task::behind(prompt, &self.tokenizer)?, settings)
    }

    /// Answers the last of `messages`.
    ///
    /// # Errors
    /// As [`Model::generate`], and if the model has no chat template.
    pub fn chat(&self, messages: &[Message], settings: &Settings) -> Result<Writing> {
        self.write(Task::answer(messages, self.template.as_ref())?, settings)
    }

    /// Fills the gaps of a text: `[[8]]` stands for eight tokens.
    ///
    /// # Errors
    /// As [`Model::generate`], and if there is no gap or the text is longer than the model sees at once.
    pub fn infill(&self, text: &str, settings: &Settings) -> Result<Writing> {
        self.write(Task::within(text, &self.tokenizer)?, settings)
    }

    /// Writes on from many prompts, `at_once` of them side by side, and returns the texts in the order of the prompts. Each is
    /// the text that `drdiff batch` writes for a line with the same number, whatever is written beside it.
    ///
    /// # Errors
    /// As [`Model::generate`], of the first prompt that fails.
    pub fn generate_all(&self, prompts: &[&str], at_once: usize, settings: &Settings) -> Result<Vec<Output>> {
        let mut engine = self.engine(at_once)?;
        let settings = settings.resolve(self.kind())?;
        for (id, prompt) in prompts.iter().enumerate() {
            let task = Task::behind(prompt, &self.tokenizer)?;
            engine.submit(Request::new(id as u64, task, settings.clone()))?;
        }
        let mut outputs = vec![None; prompts.len()];
        for event in Writing::new(engine) {
            if let crate::Event::Finished { request, output } = event? {
                outputs[request as usize] = Some(output);
            }
        }
        // A request that does not finish has ended the loop with its error.
        Ok(outputs.into_iter().flatten().collect())
    }

    /// An engine for up to `at_once` texts side by side, for those who drive its steps themselves.
    ///
    /// # Errors
    /// If the embedding table cannot be read.
    pub fn engine(&self, at_once: usize) -> Result<Engine> {
        Ok(Engine::new(self.network.clone(), self.tokenizer.clone(), at_once)?)
    }

    fn kind(&self) -> NetworkKind {
        NetworkKind::of(self.network.spec())
    }

    fn write(&self, task: Task, settings: &Settings) -> Result<Writing> {
        let mut engine = self.engine(1)?;
        engine.submit(Request::new(0, task, settings.resolve(self.kind())?))?;
        Ok(Writing::new(engine))
    }
}
