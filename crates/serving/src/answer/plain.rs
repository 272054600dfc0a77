//! Answers that come as a whole.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::logprobs::LogProbs;
use super::settled::settled;
use super::{Sheet, Tally, report};
use crate::ask::Route;
use crate::error::{ApiError, ApiResult};
use crate::json;
use crate::served::Served;
use crate::work::{Client, Finished, Update};

/// Waits for all texts and answers with them. When this is dropped, the texts are given up with their `client`.
pub(crate) async fn plain(
    sheet: Sheet,
    served: &Served,
    mut updates: UnboundedReceiver<(usize, Update)>,
    client: Client,
    mut tally: Tally,
) -> ApiResult<Response> {
    let mut finished: Vec<Option<Finished>> = sheet.texts.iter().map(|_| None).collect();
    while finished.iter().any(Option::is_none) {
        match updates.recv().await {
            Some((index, Update::Finished(text))) => finished[index] = Some(*text),
            Some((_, Update::Failed(error))) => {
                tally.end(error.status.as_u16(), "error");
                return Err(error);
            }
            Some(_) => {}
            None => {
                let error = ApiError::broken();
                tally.end(error.status.as_u16(), "error");
                return Err(error);
            }
        }
    }
    drop(client);
    let finished: Vec<Finished> = finished.into_iter().flatten().collect();
    let (body, finish) = body(&sheet, served, &finished, &mut tally);
    tally.end(StatusCode::OK.as_u16(), finish);
    Ok(json::response(StatusCode::OK, &body))
}

/// The body, and how its first text ended.
fn body(sheet: &Sheet, served: &Served, finished: &[Finished], tally: &mut Tally) -> (Value, &'static str) {
    let mut choices = Vec::with_capacity(finished.len());
    let mut first = "stop";
    let (mut diffusion, mut nfe) = (serde_json::Map::new(), 0);
    for (index, (text, finished)) in sheet.texts.iter().zip(finished).enumerate() {
        let settled = settled(text, finished, &served.tokenizer);
        tally.tokens += settled.ids.len();
        nfe += finished.output.nfe;
        let finish = settled.stop.finish_reason();
        let mut logprobs = LogProbs::at(0);
        let mut whole = settled.text;
        if let Some((echo, ids)) = &text.echo {
            whole.insert_str(0, echo);
            logprobs = logprobs.given(ids, sheet.scores.get(index).map_or(&[], Vec::as_slice));
        }
        let logprobs = match sheet.logprobs {
            true => {
                logprobs
                    .written(&settled.ids, &settled.probabilities)
                    .object(sheet.route, &served.tokenizer)
                    .0
            }
            false => Value::Null,
        };
        let mut done = report::done(text, finished, settled.stop, settled.spans.as_ref());
        done.insert("nfe_by_block".to_owned(), json!(finished.nfe_by_block));
        if index == 0 {
            first = finish;
            diffusion = report::start(sheet, text, served, finished.seconds.queue);
            match sheet.texts.len() {
                1 => diffusion.extend(done.clone()),
                _ => drop(diffusion.insert("settings".to_owned(), json!(text.request.settings))),
            }
        }
        done.remove("settings");
        let mut choice = json!({ "index": index, "logprobs": logprobs, "finish_reason": finish, "diffusion": done });
        match sheet.route {
            Route::Completions => choice["text"] = json!(whole),
            Route::Chat => choice["message"] = json!({ "role": "assistant", "content": whole, "refusal": null }),
        }
        choices.push(choice);
    }
    tally.nfe = nfe;
    diffusion.insert("nfe".to_owned(), json!(nfe));
    let object = match sheet.route {
        Route::Completions => "text_completion",
        Route::Chat => "chat.completion",
    };
    let body = json!({
        "id": sheet.id, "object": object, "created": sheet.created, "model": served.name(),
        "system_fingerprint": served.fingerprint(), "choices": choices,
        "usage": usage(sheet, tally.tokens), "diffusion": diffusion,
    });
    (body, first)
}

/// Tokens read and written. Several texts share the tokens of their prompt.
pub(super) fn usage(sheet: &Sheet, written: usize) -> Value {
    let first = |text: &&crate::ask::Text| text.request.noise == 0;
    let read: usize = sheet.texts.iter().filter(first).map(|text| text.prompt_tokens).sum();
    json!({ "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written })
}
