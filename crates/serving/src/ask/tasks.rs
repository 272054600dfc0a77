//! What was asked for, in tokens: tokenizing takes time, so it happens once a place is reserved.

use std::ops::Range;

use drdiff_generation::{Error as GenerationError, GAP, Prompt, Request, Settings, Task, joined, shown};

use super::{Given, Wanted};
use crate::error::{ApiError, ApiResult};
use crate::served::Served;

/// Tokens of a text to either side of a gap that are read: all of a text are rows of every pass that fills a gap in it.
const SIDES: usize = 128;

/// Where the answer lies in what the engine writes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Place {
    /// It is the written text.
    Behind,
    /// It is these tokens of the filled text, without a space that stands in the prompt.
    Between { tokens: Range<usize>, space: bool },
    /// It is the filled text, in which these tokens are new.
    Within(Vec<Range<usize>>),
}

/// One text to write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Text {
    pub(crate) request: Request,
    pub(crate) place: Place,
    pub(crate) prompt_tokens: usize,
    /// The prompt as it is given back, and its tokens, where that was asked for.
    pub(crate) echo: Option<(String, Vec<u32>)>,
}

/// The texts that are asked for, with what is to be said about how they were read. Their ids are left to the engine's thread.
pub(crate) fn texts(wanted: &Wanted, served: &Served) -> ApiResult<(Vec<Text>, Option<String>)> {
    let refused = |error: GenerationError| ApiError::of_engine(&error, &wanted.choices);
    let settings = wanted
        .choices
        .over(&served.choices)
        .seeded()
        .resolve(served.kind())
        .map_err(refused)?;
    let mut texts = Vec::with_capacity(wanted.texts());
    let mut note = None;
    for given in &wanted.given {
        let first = text(wanted, given, &settings, &mut note, served).map_err(refused)?;
        first.request.check_for(&served.network).map_err(refused)?;
        for key in 0..wanted.n as u64 {
            let mut text = first.clone();
            text.request.noise = key;
            texts.push(text);
        }
    }
    Ok((texts, note))
}

fn text(
    wanted: &Wanted,
    given: &Given,
    settings: &Settings,
    note: &mut Option<String>,
    served: &Served,
) -> Result<Text, GenerationError> {
    let tokenizer = &served.tokenizer;
    let (task, place) = match (given, &wanted.suffix) {
        (Given::Text(text), None) if wanted.gaps => {
            let task = Task::within(text, tokenizer)?;
            let place = Place::Within(gaps(&task));
            (task, place)
        }
        (Given::Messages(messages), _) => match &served.template {
            Some(template) => (Task::answer(messages, Some(template))?, Place::Behind),
            None => {
                *note = Some("the model has no chat template, so it goes on from the texts of the messages".to_owned());
                (Task::behind(&joined(messages), tokenizer)?, Place::Behind)
            }
        },
        (given, None) => (Task::Continue(prompt(given, served)?), Place::Behind),
        (given, Some(suffix)) => {
            let before = prompt(given, served)?;
            let open = match wanted.choices.get("tokens") {
                Some(_) => settings.tokens,
                None => GAP,
            };
            let (task, from) = Task::between(&before, suffix, open, SIDES, tokenizer)?;
            if from < before.len() {
                *note = Some(format!("of the text to either side of the gap {SIDES} tokens are read"));
            }
            let place = Place::Between {
                tokens: from..from + open,
                space: before.space,
            };
            (task, place)
        }
    };
    let prompt_tokens = task.given_tokens();
    let echo = match &task {
        Task::Continue(prompt) if wanted.echo => Some(match given {
            Given::Text(text) => (shown(text).into_owned(), prompt.ids.clone()),
            _ => (tokenizer.decode(prompt), prompt.ids.clone()),
        }),
        _ => None,
    };
    Ok(Text {
        request: Request {
            shows_predictions: wanted.stream.is_some_and(|stream| stream.steps.is_some()),
            ..Request::new(0, task, settings.clone())
        },
        place,
        prompt_tokens,
        echo,
    })
}

fn prompt(given: &Given, served: &Served) -> Result<Prompt, GenerationError> {
    let vocab = served.network.vocab;
    match given {
        Given::Text(text) => Prompt::new(text, &served.tokenizer),
        Given::Messages(messages) => Prompt::new(&joined(messages), &served.tokenizer),
        Given::Ids(ids) => match ids.iter().copied().find(|token| *token as usize >= vocab) {
            Some(token) => Err(GenerationError::UnknownToken { token, vocab }),
            None => Ok(ids.clone().into()),
        },
    }
}

/// The gaps of a text to fill.
fn gaps(task: &Task) -> Vec<Range<usize>> {
    let Task::Infill(canvas) = task else { return Vec::new() };
    let mut gaps: Vec<Range<usize>> = Vec::new();
    for at in (0..canvas.len()).filter(|at| canvas[*at].is_none()) {
        match gaps.last_mut() {
            Some(gap) if gap.end == at => gap.end += 1,
            _ => gaps.push(at..at + 1),
        }
    }
    gaps
}
