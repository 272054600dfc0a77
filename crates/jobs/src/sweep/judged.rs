//! Texts under a judge: another language model, which says how likely it finds them. Each text is judged once.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use drdiff_evaluation::{Judge, Surprise, perplexity};
use drdiff_generation::apart;
use serde::{Deserialize, Serialize};

use super::error::Result;
use super::text::TextRecord;
use crate::batch::Journal;

/// The file in the output folder that holds what judges said.
pub const JUDGED: &str = "judged.jsonl";

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    judge: String,
    key: String,
    #[serde(flatten)]
    surprise: Surprise,
}

/// What a judge said about texts, by their keys.
#[derive(Debug, Default)]
pub struct Judged(HashMap<String, Surprise>);

impl Judged {
    /// Reads what `judge` said before, and lets it read the rest. `None` if it was asked to stop.
    ///
    /// # Errors
    /// If the file is damaged or cannot be written, or the judge fails.
    pub fn make(
        folder: &Path,
        judge: &mut dyn Judge,
        texts: &[&TextRecord],
        stop: &AtomicBool,
        tell: &mut dyn FnMut(usize, usize),
    ) -> Result<Option<Self>> {
        let mut known = HashMap::new();
        let mut journal = Journal::open(&folder.join(JUDGED), |line: Line| {
            if line.judge == judge.hash() {
                known.insert(line.key, line.surprise);
            }
        })?;
        for (index, text) in texts.iter().enumerate() {
            tell(index, texts.len());
            if known.contains_key(&text.key) || text.text.is_empty() {
                continue;
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let (prompt, text_behind) = apart(&text.made_by.prompt, &text.text);
            let surprise = judge.read(&prompt, &text_behind)?;
            journal.append(&Line {
                judge: judge.hash().to_owned(),
                key: text.key.clone(),
                surprise,
            })?;
            known.insert(text.key.clone(), surprise);
        }
        Ok(Some(Self(known)))
    }

    /// [`perplexity`] of texts. `None` if none of them was judged.
    #[must_use]
    pub fn perplexity(&self, texts: &[&TextRecord]) -> Option<(f64, Option<f64>)> {
        let surprises: Vec<Surprise> = texts.iter().filter_map(|text| self.0.get(&text.key).copied()).collect();
        perplexity(&surprises)
    }
}
