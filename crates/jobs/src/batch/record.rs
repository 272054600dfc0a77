//! A finished text as a line of the output, in both forms.

use std::time::{SystemTime, UNIX_EPOCH};

use drdiff_generation::{Compute, Output, Settings};
use drdiff_solver::DraftCounts;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::form::Endpoint;
use super::id::Fingerprint;
use super::ledger::Due;
use super::manifest::OutputFormat;
use super::wish::Wish;

/// What a text was made with and what it cost, beside the text.
#[derive(Debug, Serialize)]
struct Costs {
    nfe: usize,
    tokens_committed: usize,
    canvas_tokens: usize,
    flops: u64,
    scoring_flops: u64,
    /// How drafts fared, where they were checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    drafts: Option<DraftCounts>,
    seconds: f64,
    seed: u64,
    stop_reason: &'static str,
    process: &'static str,
    steps: usize,
    block_size: usize,
    compute: Compute,
    fingerprint: String,
}

/// A finished text.
pub(super) struct Finished<'a> {
    pub(super) due: &'a Due,
    pub(super) settings: &'a Settings,
    pub(super) output: &'a Output,
    pub(super) prompt_tokens: usize,
    /// From the start of its work to its end, batch mates included.
    pub(super) seconds: f64,
    pub(super) model: &'a str,
}

/// A line of the output.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Record<'a> {
    Drdiff(Ours<'a>),
    OpenAi(Theirs<'a>),
}

/// DrDiff's own form.
#[derive(Debug, Serialize)]
pub(super) struct Ours<'a> {
    id: &'a str,
    #[serde(flatten)]
    wish: &'a Wish,
    text: &'a str,
    tokens: usize,
    #[serde(flatten)]
    costs: Costs,
}

/// OpenAI's form.
#[derive(Debug, Serialize)]
pub(super) struct Theirs<'a> {
    id: String,
    custom_id: &'a str,
    response: Response,
    error: (),
}

/// What OpenAI's form has no place for: what was asked for, so that a reader of the text knows what it goes on from, and the costs.
#[derive(Debug, Serialize)]
struct Beside<'a> {
    #[serde(flatten)]
    wish: &'a Wish,
    #[serde(flatten)]
    costs: Costs,
}

#[derive(Debug, Serialize)]
struct Response {
    status_code: u16,
    request_id: String,
    body: Value,
}

impl<'a> Finished<'a> {
    /// The line for this text.
    pub(super) fn record(&self, format: OutputFormat) -> Record<'a> {
        match format {
            OutputFormat::Drdiff => Record::Drdiff(Ours {
                id: &self.due.id,
                wish: &self.due.form.wish,
                text: &self.output.text,
                tokens: self.output.ids.len(),
                costs: self.costs(),
            }),
            OutputFormat::OpenAi => Record::OpenAi(self.openai()),
        }
    }

    fn costs(&self) -> Costs {
        let Self { settings, output, .. } = self;
        Costs {
            nfe: output.nfe,
            tokens_committed: output.committed_tokens,
            canvas_tokens: output.canvas_tokens,
            flops: output.flops,
            scoring_flops: output.scoring_flops,
            drafts: output.drafts.clone(),
            seconds: self.seconds,
            seed: settings.seed,
            stop_reason: output.stop.name(),
            process: settings.sampler.process.name(),
            steps: settings.sampler.steps,
            block_size: settings.block_size,
            compute: settings.compute,
            fingerprint: self.due.fingerprint.to_string(),
        }
    }

    fn openai(&self) -> Theirs<'a> {
        let request = format!("{:016x}", self.due.key.noise);
        let (text, tokens) = (&self.output.text, self.output.ids.len());
        let (kind, name, mut choice) = match self.due.form.endpoint {
            Endpoint::Completions => ("text_completion", "cmpl", json!({ "text": text })),
            Endpoint::Chat => (
                "chat.completion",
                "chatcmpl",
                json!({ "message": { "role": "assistant", "content": text } }),
            ),
        };
        choice["index"] = json!(0);
        choice["logprobs"] = Value::Null;
        choice["finish_reason"] = json!(self.output.stop.finish_reason());
        Theirs {
            id: format!("batch_req_{request}"),
            custom_id: &self.due.id,
            response: Response {
                status_code: 200,
                body: json!({
                    "id": format!("{name}-{request}"),
                    "object": kind,
                    "created": now(),
                    "model": self.model,
                    "choices": [choice],
                    "usage": {
                        "prompt_tokens": self.prompt_tokens,
                        "completion_tokens": tokens,
                        "total_tokens": self.prompt_tokens + tokens,
                    },
                    "diffusion": Beside {
                        wish: &self.due.form.wish,
                        costs: self.costs(),
                    },
                }),
                request_id: request,
            },
            error: (),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the form wants a date, and no token depends on it"
)]
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// What a job needs to know of a record that it wrote earlier.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct Kept {
    pub(super) id: String,
    pub(super) fingerprint: Fingerprint,
}

impl TryFrom<Value> for Kept {
    type Error = &'static str;

    fn try_from(record: Value) -> Result<Self, Self::Error> {
        // In OpenAI's form `id` is that of the answer.
        let id = record.get("custom_id").or(record.get("id")).and_then(Value::as_str);
        let print = match record.get("fingerprint") {
            Some(print) => Some(print),
            None => record.pointer("/response/body/diffusion/fingerprint"),
        };
        let fingerprint = print.and_then(Value::as_str).and_then(Fingerprint::parse);
        Ok(Self {
            id: id.ok_or("a record without an id")?.to_owned(),
            fingerprint: fingerprint.ok_or("a record without a fingerprint")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::form::Form;
    use super::super::id::Key;
    use super::*;
    use drdiff_generation::StopReason;

    #[test]
    fn both_forms_are_complete_and_read_back() {
        let mut form = Form::prompt("Once".into());
        let output = Output {
            text: " upon".into(),
            ids: vec![1, 2],
            nfe: 4,
            committed_tokens: 3,
            canvas_tokens: 12,
            flops: 0,
            scoring_flops: 0,
            routed: Default::default(),
            drafts: None,
            stop: StopReason::End,
        };
        for endpoint in [Endpoint::Completions, Endpoint::Chat] {
            form.endpoint = endpoint;
            let due = Due {
                id: "r1".into(),
                key: Key::of("r1"),
                fingerprint: form.fingerprint(),
                line: 1,
                form: form.clone(),
            };
            let finished = Finished {
                due: &due,
                settings: &Settings::default(),
                output: &output,
                prompt_tokens: 5,
                seconds: 0.5,
                model: "m",
            };
            let ours = json!(finished.record(OutputFormat::Drdiff));
            for (key, value) in [
                ("id", json!("r1")),
                ("prompt", json!("Once")),
                ("text", json!(" upon")),
                ("tokens", json!(2)),
                ("nfe", json!(4)),
                ("seconds", json!(0.5)),
                ("seed", json!(0)),
                ("stop_reason", json!("end")),
            ] {
                assert_eq!(ours[key], value, "{key}");
            }
            let theirs = json!(finished.record(OutputFormat::OpenAi));
            assert_eq!((&theirs["custom_id"], &theirs["error"]), (&json!("r1"), &Value::Null));
            let body = &theirs["response"]["body"];
            let choice = &body["choices"][0];
            match endpoint {
                Endpoint::Completions => assert_eq!(choice["text"], " upon"),
                Endpoint::Chat => assert_eq!(choice["message"]["content"], " upon"),
            }
            assert_eq!(
                (&choice["finish_reason"], &body["usage"]["total_tokens"]),
                (&json!("stop"), &json!(7))
            );
            assert_eq!(
                body["diffusion"]["prompt"], "Once",
                "a reader has to know what the text goes on from"
            );
            for record in [ours, theirs] {
                let kept = Kept::try_from(record).unwrap();
                assert_eq!((kept.id.as_str(), kept.fingerprint), ("r1", due.fingerprint));
            }
        }
        assert!(Kept::try_from(json!({ "id": "a" })).is_err());
    }
}
