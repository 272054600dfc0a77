//! The tokenizer, in vLLM's forms, which evaluation harnesses know.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use drdiff_data::TokenizerError;
use drdiff_generation::openai::messages;
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;

use crate::ask::ids;
use crate::error::{ApiError, ApiResult};
use crate::json;
use crate::served::Served;
use crate::state::State;

pub(super) async fn tokenize(Shared(state): Shared<Arc<State>>, request: Request) -> ApiResult<Response> {
    answer(state, request, tokens).await
}

pub(super) async fn detokenize(Shared(state): Shared<Arc<State>>, request: Request) -> ApiResult<Response> {
    answer(state, request, text).await
}

pub(super) async fn info(Shared(state): Shared<Arc<State>>) -> ApiResult<Response> {
    let served = state.served()?;
    let tokenizer = &served.tokenizer;
    let name = |id: u32| {
        tokenizer
            .specials()
            .iter()
            .find(|(_, special)| **special == id)
            .map(|(name, _)| name.clone())
    };
    let end = name(tokenizer.end_of_text());
    let info = json!({
        "tokenizer_class": "drdiff", "eos_token": end, "bos_token": tokenizer.start().and_then(name), "pad_token": end,
        "vocab_size": tokenizer.vocab_size(), "model_max_length": served.network.context,
        "chat_template": served.template.as_ref().map(|template| template.source()),
    });
    Ok(json::response(StatusCode::OK, &info))
}

async fn answer(
    state: Arc<State>,
    request: Request,
    work: impl FnOnce(Map<String, Value>, &Served) -> ApiResult<Value> + Send + 'static,
) -> ApiResult<Response> {
    let (parts, body) = request.into_parts();
    let body = json::object(&parts.headers, body, state.options.max_body).await?;
    state.served()?;
    let answer = spawn_blocking(move || work(body, state.served()?)).await;
    let answer = answer.map_err(|_| ApiError::failed("the text could not be read"))??;
    Ok(json::response(StatusCode::OK, &answer))
}

fn tokens(mut body: Map<String, Value>, served: &Served) -> ApiResult<Value> {
    let tokenizer = &served.tokenizer;
    let wrong = |error: TokenizerError| ApiError::bad("prompt", error.to_string());
    let special = body.get("add_special_tokens").and_then(Value::as_bool).unwrap_or(true);
    let strings = body.get("return_token_strs").and_then(Value::as_bool).unwrap_or(false);
    let ids = match body.remove("prompt") {
        Some(Value::String(text)) => {
            let start = tokenizer.start().filter(|_| special && tokenizer.adds_start());
            let ids = tokenizer.encode(&text).map_err(wrong)?;
            start.into_iter().chain(ids).collect()
        }
        Some(_) => return Err(ApiError::bad("prompt", "`prompt`: a text is wanted")),
        None if body.contains_key("messages") => {
            let messages = messages(body.remove("messages"))?;
            let begins = body
                .get("add_generation_prompt")
                .and_then(Value::as_bool)
                .unwrap_or(true);
            let template = served.template.as_ref().ok_or(TokenizerError::NoTemplate);
            let ids = template.and_then(|template| template.render(&messages, begins));
            ids.map_err(|error| ApiError::bad("messages", error.to_string()))?
        }
        None => {
            return Err(ApiError::bad(
                "prompt",
                "`prompt`: there is none; give a text, or `messages`",
            ));
        }
    };
    let spelled = |id: &u32| String::from_utf8_lossy(tokenizer.bytes_of(*id)).into_owned();
    let names: Option<Vec<String>> = strings.then(|| ids.iter().map(spelled).collect());
    Ok(json!({ "count": ids.len(), "max_model_len": served.network.context, "tokens": ids, "token_strs": names }))
}

fn text(mut body: Map<String, Value>, served: &Served) -> ApiResult<Value> {
    let Some(Value::Array(list)) = body.remove("tokens") else {
        return Err(ApiError::bad("tokens", "`tokens`: a list of token ids is wanted"));
    };
    let ids = ids(&list).map_err(|words| ApiError::bad("tokens", format!("`tokens`: {words}")))?;
    let vocab = served.tokenizer.vocab_size();
    if let Some(id) = ids.iter().find(|id| **id as usize >= vocab) {
        let words = format!("`tokens`: the token {id} is unknown; the model knows {vocab}");
        return Err(ApiError::bad("tokens", words));
    }
    Ok(json!({ "prompt": served.tokenizer.decode(&ids) }))
}
