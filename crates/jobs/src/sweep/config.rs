//! What a sweep is asked to do.

use std::path::PathBuf;

use drdiff_configs::Section;
use drdiff_files::{Layout, Lines, text};
use drdiff_generation::NetworkKind;
use drdiff_generation::settings::Configured;
use serde::{Deserialize, Serialize};

use super::axes::{Grid, Row};
use super::error::{Result, SweepError};
use super::plan::{BUNDLED, Plan};

/// A sweep: the same prompts and noise under many settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SweepConfig {
    /// Who writes where a combination names no model: `bundled`, a model folder or a weights file.
    pub model: String,
    /// Prompts that every cell goes on from; none writes without a prompt.
    pub prompts: Vec<String>,
    /// A file with one prompt a line, in place of `prompts`; it may be packed by gzip or zstd.
    pub prompt_file: Option<PathBuf>,
    /// Seeds that every cell uses.
    pub seeds: Vec<u64>,
    /// Texts for each prompt and seed.
    pub texts: usize,
    /// Texts that are written at once. Seconds of a text are its share of the passes it took part in.
    pub batch: usize,
    /// A file with texts that people wrote, to compare entropy with: `.jsonl` with one text a line under the key `text`, or
    /// `.txt` with one text; both may be packed by gzip or zstd.
    pub reference: Option<PathBuf>,
    /// What all cells have in common; `settings.tokens` is the length of a text.
    pub settings: Configured,
    /// Values to combine, each with each.
    pub grid: Grid,
    /// Combinations of their own, after those of the grid.
    pub rows: Vec<Row>,
}

impl Default for SweepConfig {
    fn default() -> Self {
        Self {
            model: BUNDLED.to_owned(),
            prompts: Vec::new(),
            prompt_file: None,
            seeds: vec![0],
            texts: 1,
            batch: 1,
            reference: None,
            settings: Configured::default(),
            grid: Grid::default(),
            rows: Vec::new(),
        }
    }
}

impl SweepConfig {
    /// Checks everything that can be checked without a model, and returns the cells. `bundled` is what the model can write
    /// that stands for [`BUNDLED`].
    ///
    /// # Errors
    /// [`SweepError::Config`] with the first problem: a number out of range, a setting without effect in `rows`, no
    /// cell left.
    pub fn plan(&self, bundled: NetworkKind) -> Result<Plan> {
        let refuse = |reason: &str| Err(SweepError::Config(reason.to_owned()));
        if !self.prompts.is_empty() && self.prompt_file.is_some() {
            return refuse("`prompts` and `prompt_file` are both given; keep one of them");
        }
        if self.seeds.is_empty() || self.texts == 0 || self.batch == 0 {
            return refuse("`seeds`, `texts` and `batch` must not be empty or 0; with none of them there is no text");
        }
        if (1..self.seeds.len()).any(|i| self.seeds[..i].contains(&self.seeds[i])) {
            return refuse("`seeds` names a seed twice, which would write the same texts again; name each once");
        }
        if self.settings.0.get("seed").is_some() {
            return refuse("`settings.seed` has no effect in a sweep; write `seeds: [...]`");
        }
        if self.tokens()? == 0 {
            return refuse("`settings.tokens` is 0; ask for at least 1");
        }
        if let Some(axis) = self.grid.twice() {
            return Err(SweepError::Config(format!(
                "`grid.{axis}` names a value twice; name each once"
            )));
        }
        Plan::new(self, bundled)
    }

    /// Tokens of a text at most.
    ///
    /// # Errors
    /// If the settings of all cells cannot be.
    pub fn tokens(&self) -> Result<usize> {
        Ok(self.settings.0.resolve(NetworkKind::Masked)?.tokens)
    }

    /// The prompts, from the file if one is named; one empty prompt if there is none.
    ///
    /// # Errors
    /// [`SweepError::Files`] if the file cannot be read or is no text, [`SweepError::Config`] if it holds no prompt or has a
    /// line that is none.
    pub fn read_prompts(&self) -> Result<Vec<String>> {
        let Some(path) = &self.prompt_file else {
            return Ok(match self.prompts.is_empty() {
                true => vec![String::new()],
                false => self.prompts.clone(),
            });
        };
        let unreadable = |source| SweepError::File {
            action: "read",
            path: path.clone(),
            source,
        };
        let shown = path.display();
        let mut lines = Lines::new(text::open(path)?);
        match Layout::of(&mut lines).map_err(unreadable)? {
            Layout::Json => {
                return Err(SweepError::Config(format!(
                    "{shown} holds JSON, and a sweep reads one prompt a line; take the prompts out with `jq -r .prompt`"
                )));
            }
            layout => layout.check(path)?,
        }
        let mut prompts = Vec::new();
        while let Some(line) = lines.read().map_err(unreadable)? {
            if line.is_blank() {
                continue;
            }
            prompts.push(line.content.map_err(|reason| {
                let number = line.number;
                SweepError::Config(format!(
                    "line {number} of {shown} is no prompt: {reason}; correct or remove it"
                ))
            })?);
        }
        if prompts.is_empty() {
            return Err(SweepError::Config(format!(
                "{} holds no prompt; write one a line",
                path.display()
            )));
        }
        Ok(prompts)
    }
}

impl Section for SweepConfig {
    const NAME: &'static str = "sweep";
    const BASE: Option<&'static str> = None;

    fn written(&mut self, is_written: &dyn Fn(&str) -> bool) {
        self.settings.keep(|place| is_written(&format!("settings.{place}")));
    }

    fn check(&self) -> std::result::Result<(), String> {
        self.plan(NetworkKind::default()).map(drop).map_err(|e| e.to_string())
    }
}
