//! The answer that lies in what the engine wrote.

use drdiff_data::Tokenizer;
use drdiff_generation::StopReason;
use serde_json::{Value, json};

use crate::ask::{Place, Text};
use crate::work::Finished;

/// An answer's text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settled {
    pub(super) text: String,
    pub(super) ids: Vec<u32>,
    pub(super) probabilities: Vec<Option<f64>>,
    pub(super) stop: StopReason,
    /// The filled gaps of a text that has some: where they lie in it, in characters.
    pub(super) spans: Option<Value>,
}

/// The answer to `text` in what was written.
pub(super) fn settled(text: &Text, finished: &Finished, tokenizer: &Tokenizer) -> Settled {
    let (ids, output) = (&finished.output.ids, &finished.output);
    match &text.place {
        Place::Behind => Settled {
            text: output.text.clone(),
            ids: ids.clone(),
            probabilities: finished.probabilities.clone(),
            stop: output.stop,
            spans: None,
        },
        Place::Between { tokens, space } => {
            let ids = ids[tokens.clone()].to_vec();
            let mut between = tokenizer.decode(&ids);
            if *space && between.starts_with(' ') {
                between.remove(0);
            }
            let stops = text.request.settings.stop.iter();
            let end = stops.filter_map(|stop| between.find(stop.as_str())).min();
            between.truncate(end.unwrap_or(between.len()));
            Settled {
                text: between,
                probabilities: finished.probabilities[tokens.clone()].to_vec(),
                stop: end.map_or(output.stop, |_| StopReason::Stop),
                ids,
                spans: None,
            }
        }
        Place::Within(gaps) => {
            let characters = |to: usize| tokenizer.decode(&ids[..to]).chars().count();
            let span = |gap: &std::ops::Range<usize>| {
                json!({
                    "from": characters(gap.start), "to": characters(gap.end),
                    "text": tokenizer.decode(&ids[gap.clone()]), "tokens": gap.len(),
                })
            };
            let new = |at: &usize| gaps.iter().any(|gap| gap.contains(at));
            Settled {
                text: output.text.clone(),
                spans: Some(gaps.iter().map(span).collect()),
                probabilities: (0..ids.len())
                    .filter(new)
                    .map(|at| finished.probabilities[at])
                    .collect(),
                ids: (0..ids.len()).filter(new).map(|at| ids[at]).collect(),
                stop: output.stop,
            }
        }
    }
}
