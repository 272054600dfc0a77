//! The routes that write.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};
use drdiff_generation::Scored;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use crate::answer::{Sheet, Tally, plain, stream};
use crate::ask::{self, Route, Text, Wanted, texts};
use crate::error::{ApiError, ApiResult};
use crate::json;
use crate::state::{State, now};
use crate::work::{Client, Command, Job, Permit, ScoreJob, Update};

pub(super) async fn completions(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    answer(state, Route::Completions, request).await
}

pub(super) async fn chat(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    answer(state, Route::Chat, request).await
}

async fn answer(state: Arc<State>, route: Route, request: Request) -> Response {
    match write(&state, route, request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn write(state: &Arc<State>, route: Route, request: Request) -> ApiResult<Response> {
    let came = Instant::now();
    let read = read(state, route, request).await.inspect_err(|error| {
        state.metrics.answered(route.path(), error.status.as_u16(), "error");
    });
    let (wanted, permit, texts, note) = read?;
    let served = state.served()?;
    let client = state.client();
    let prefix = match route {
        Route::Completions => "cmpl",
        Route::Chat => "chatcmpl",
    };
    let id = state.id(prefix, client.id);
    let tally = Tally::new(state.clone(), id.clone(), route, came);
    let scores = match wanted.echo && wanted.logprobs {
        true => scores(&texts, &client, came).await,
        false => Ok(Vec::new()),
    };
    let scores = match scores {
        Ok(scores) => scores,
        Err(error) => {
            tally.end(error.status.as_u16(), "error");
            return Err(error);
        }
    };
    let sheet = Sheet {
        id,
        created: now(),
        route,
        texts,
        scores,
        logprobs: wanted.logprobs,
        note,
        ignored: wanted.ignored.clone(),
    };
    let updates = submit(&sheet, &wanted, permit, &client, came)?;
    let tokens: usize = sheet.texts.iter().map(|text| text.prompt_tokens).sum();
    state.metrics.prompt_tokens.inc_by(tokens as u64);
    match wanted.stream {
        Some(streamed) => Ok(stream(state.clone(), sheet, streamed, updates, client, tally)),
        None => plain(sheet, served, updates, client, tally).await,
    }
}

/// Reads a body, reserves places for its texts and then tokenizes them.
async fn read(
    state: &Arc<State>,
    route: Route,
    request: Request,
) -> ApiResult<(Arc<Wanted>, Permit, Vec<Text>, Option<String>)> {
    if let Some(error) = state.closed() {
        state.metrics.rejected("closed");
        return Err(error);
    }
    let (parts, body) = request.into_parts();
    let body = json::object(&parts.headers, body, state.options.max_body).await?;
    let served = state.served()?;
    let wanted = match route {
        Route::Completions => ask::completion(body, served, &state.options),
        Route::Chat => ask::chat(body, served, &state.options),
    }?;
    if !wanted.ignored.is_empty() {
        tracing::debug!(fields = ?wanted.ignored, "fields without a meaning here");
    }
    let (asked, most) = (wanted.texts(), state.admission.most());
    if asked > most {
        let words = format!("{asked} texts are more than the {most} that the server takes in at once; ask for fewer");
        return Err(ApiError::bad("prompt", words));
    }
    let Some(permit) = state.admission.reserve(asked) else {
        state.metrics.rejected("queue_full");
        return Err(ApiError::full(state.admission.seconds()));
    };
    let (wanted, state) = (Arc::new(wanted), state.clone());
    let work = (wanted.clone(), state);
    let tokenized = spawn_blocking(move || texts(&work.0, work.1.served()?)).await;
    let (texts, note) = tokenized.map_err(|_| ApiError::failed("the prompt could not be read"))??;
    Ok((wanted, permit, texts, note))
}

/// The scores of all prompts; texts of one prompt share them.
async fn scores(texts: &[Text], client: &Client, came: Instant) -> ApiResult<Vec<Vec<Scored>>> {
    let mut all: Vec<Vec<Scored>> = Vec::with_capacity(texts.len());
    for text in texts {
        let ids = text.echo.iter().map(|(_, ids)| ids.clone()).next().unwrap_or_default();
        let known = all.last().filter(|_| text.request.noise > 0).cloned();
        let scores = match known {
            Some(known) => known,
            None if ids.is_empty() => Vec::new(),
            None => {
                let (answer, said) = oneshot::channel();
                client.send(Command::Score(ScoreJob {
                    client: client.id,
                    ids,
                    answer,
                    came,
                }))?;
                said.await.map_err(|_| ApiError::broken())??
            }
        };
        all.push(scores);
    }
    Ok(all)
}

fn submit(
    sheet: &Sheet,
    wanted: &Wanted,
    mut permit: Permit,
    client: &Client,
    came: Instant,
) -> ApiResult<mpsc::UnboundedReceiver<(usize, Update)>> {
    let (sender, updates) = mpsc::unbounded_channel();
    let mut jobs = Vec::with_capacity(sheet.texts.len());
    for (index, text) in sheet.texts.iter().enumerate() {
        // As many places were reserved as there are texts.
        let one = permit.split(1).ok_or_else(|| ApiError::failed("a place is missing"))?;
        jobs.push(Job {
            client: client.id,
            index,
            request: text.request.clone(),
            choices: wanted.choices.clone(),
            updates: sender.clone(),
            _place: one,
            came,
        });
    }
    client.send(Command::Submit(jobs))?;
    Ok(updates)
}
