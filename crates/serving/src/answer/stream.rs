//! Answers that come while they are written.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc::{self, Sender, UnboundedReceiver};
use tokio::time::{interval, timeout};

use super::body;
use super::frame::{DONE, Delta, Frames, comment, data};
use super::logprobs::LogProbs;
use super::merge::Merge;
use super::plain::usage;
use super::settled::settled;
use super::{Sheet, Tally, report};
use crate::ask::{Place, Streamed};
use crate::error::ApiError;
use crate::state::State;
use crate::work::{Client, Finished, Update, Written};

/// Frames that may lie unread.
const FRAMES: usize = 256;

/// Between two signs of life of a stream that has nothing to tell.
const QUIET: Duration = Duration::from_secs(15);

/// Answers with a stream. The texts are given up with their `client` when the reader has gone, or leaves frames unread for too long.
pub(crate) fn stream(
    state: Arc<State>,
    sheet: Sheet,
    streamed: Streamed,
    updates: UnboundedReceiver<(usize, Update)>,
    client: Client,
    tally: Tally,
) -> Response {
    let (frames, unread) = mpsc::channel(FRAMES);
    tokio::spawn(async move {
        let mut pump = Pump {
            texts: sheet.texts.iter().map(|_| Progress::default()).collect(),
            state: &state,
            sheet: &sheet,
            streamed,
            frames,
            tally,
            finish: "stop",
        };
        // Who does not read is told nothing.
        let finish = match pump.run(updates).await {
            Ok(()) => Some(pump.finish),
            Err(Unread) => None,
        };
        drop(client);
        if let Some(finish) = finish {
            pump.tally.end(StatusCode::OK.as_u16(), finish);
        }
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        // nginx would keep the frames back.
        (
            header::HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    (headers, Body::new(body::Frames(unread))).into_response()
}

/// Nobody reads the stream.
struct Unread;

/// What was told of a text.
#[derive(Default)]
struct Progress {
    merge: Merge,
    /// The block of a text that is filled, which is told when its place in it is known.
    held: Option<Written>,
    /// Texts that wait before it.
    waiting: Option<usize>,
    /// Characters of its tokens so far.
    offset: usize,
    ended: bool,
}

struct Pump<'a> {
    state: &'a State,
    sheet: &'a Sheet,
    streamed: Streamed,
    frames: Sender<Bytes>,
    texts: Vec<Progress>,
    tally: Tally,
    finish: &'static str,
}

impl Pump<'_> {
    async fn run(&mut self, mut updates: UnboundedReceiver<(usize, Update)>) -> Result<(), Unread> {
        let mut quiet = interval(QUIET);
        quiet.tick().await;
        while self.texts.iter().any(|text| !text.ended) {
            let reader = self.frames.clone();
            let update = tokio::select! {
                () = reader.closed() => return Err(Unread),
                update = updates.recv() => update,
                _ = quiet.tick() => {
                    let places = self.texts.iter().filter_map(|text| text.waiting).min();
                    let words = places.map_or("keep-alive".to_owned(), |places| format!("waiting {places}"));
                    self.send(comment(&words)).await?;
                    continue;
                }
            };
            match update {
                Some((_, Update::Failed(error))) => return self.fail(&error).await,
                Some((index, update)) => self.take(index, update).await?,
                None => return self.fail(&ApiError::broken()).await,
            }
        }
        if self.streamed.usage {
            let usage = usage(self.sheet, self.tally.tokens);
            let frame = self.writer(|frames| frames.usage(usage));
            self.send(frame).await?;
        }
        self.send(DONE).await
    }

    /// Ends the stream with an error.
    async fn fail(&mut self, error: &ApiError) -> Result<(), Unread> {
        self.finish = "error";
        self.send(data(&error.body())).await
    }

    async fn send(&self, frame: Bytes) -> Result<(), Unread> {
        match timeout(self.state.options.patience, self.frames.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Unread),
        }
    }

    fn writer(&self, write: impl FnOnce(Frames<'_>) -> Bytes) -> Bytes {
        let Ok(served) = self.state.served() else {
            return Bytes::new();
        };
        write(Frames {
            sheet: self.sheet,
            served,
            usage: self.streamed.usage,
        })
    }

    fn chunk(&self, index: usize, delta: &Delta<'_>, finish: Option<&str>, logprobs: Value, diffusion: Value) -> Bytes {
        self.writer(|frames| frames.chunk(index, delta, finish, logprobs, diffusion))
    }

    async fn take(&mut self, index: usize, update: Update) -> Result<(), Unread> {
        match update {
            Update::Waiting(places) => {
                self.texts[index].waiting = Some(places);
                // Each of many texts waits, and one comment is enough.
                if index == 0 {
                    self.send(comment(&format!("waiting {places}"))).await?;
                }
                Ok(())
            }
            Update::Started(queue) => self.begin(index, queue).await,
            Update::Passed(passed) => {
                self.texts[index].merge.add(passed);
                let Some(interval) = self.streamed.steps else {
                    return Ok(());
                };
                // Provisional text does not wait for a slow reader; it is merged.
                if self.frames.capacity() > 0 && self.texts[index].merge.is_due(interval) {
                    self.step(index).await?;
                }
                Ok(())
            }
            Update::Written(written) => {
                self.step(index).await?;
                self.texts[index].merge.turn();
                match self.sheet.texts[index].place {
                    Place::Behind => self.write(index, &written).await,
                    Place::Between { .. } | Place::Within(_) => {
                        self.texts[index].held = Some(written);
                        Ok(())
                    }
                }
            }
            Update::Finished(finished) => self.end(index, &finished).await,
            Update::Failed(error) => self.fail(&error).await,
        }
    }

    /// Tells how the text is written, and gives the prompt back if that was asked for.
    async fn begin(&mut self, index: usize, queue: f64) -> Result<(), Unread> {
        let Ok(served) = self.state.served() else { return Ok(()) };
        let text = &self.sheet.texts[index];
        self.texts[index].waiting = None;
        let start = report::event("start", report::start(self.sheet, text, served, queue));
        let frame = match &text.echo {
            None => self.chunk(index, &Delta::Begin, None, Value::Null, start),
            Some((echo, ids)) => {
                let scores = self.sheet.scores.get(index).map_or(&[][..], Vec::as_slice);
                let logprobs = self.logprobs(index, |logprobs| logprobs.given(ids, scores));
                self.chunk(index, &Delta::Text(echo), None, logprobs, start)
            }
        };
        self.send(frame).await
    }

    /// Tells what has changed in the block.
    async fn step(&mut self, index: usize) -> Result<(), Unread> {
        let Ok(served) = self.state.served() else { return Ok(()) };
        let steps = self.sheet.texts[index].request.settings.sampler.steps;
        let Some(step) = self.texts[index].merge.take(steps, &served.tokenizer) else {
            return Ok(());
        };
        let frame = self.chunk(index, &Delta::Nothing, None, Value::Null, step);
        self.send(frame).await
    }

    async fn write(&mut self, index: usize, written: &Written) -> Result<(), Unread> {
        let logprobs = self.logprobs(index, |logprobs| logprobs.written(&written.ids, &written.probabilities));
        let block = report::event("block", report::block(written));
        let frame = self.chunk(index, &Delta::Text(&written.text), None, logprobs, block);
        self.send(frame).await
    }

    async fn end(&mut self, index: usize, finished: &Finished) -> Result<(), Unread> {
        let Ok(served) = self.state.served() else { return Ok(()) };
        let text = &self.sheet.texts[index];
        let settled = settled(text, finished, &served.tokenizer);
        if let Some(mut written) = self.texts[index].held.take() {
            written.text = settled.text;
            written.probabilities = settled.probabilities;
            written.ids = settled.ids.clone();
            self.write(index, &written).await?;
        }
        self.tally.tokens += settled.ids.len();
        self.tally.nfe += finished.output.nfe;
        let reason = settled.stop.finish_reason();
        if index == 0 {
            self.finish = reason;
        }
        self.texts[index].ended = true;
        let done = report::done(text, finished, settled.stop, settled.spans.as_ref());
        let frame = self.chunk(
            index,
            &Delta::Nothing,
            Some(reason),
            Value::Null,
            report::event("done", done),
        );
        self.send(frame).await
    }

    /// The object of the next tokens' logarithms, if it was asked for.
    fn logprobs(&mut self, index: usize, fill: impl FnOnce(LogProbs) -> LogProbs) -> Value {
        let Some(served) = self.state.served().ok().filter(|_| self.sheet.logprobs) else {
            return Value::Null;
        };
        let logprobs = fill(LogProbs::at(self.texts[index].offset));
        let (object, offset) = logprobs.object(self.sheet.route, &served.tokenizer);
        self.texts[index].offset = offset;
        object
    }
}
