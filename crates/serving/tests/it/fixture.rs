//! A server with the small model of bytes, and a client without sockets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use drdiff_data::Tokenizer;
use drdiff_generation::{Choices, Engine, Event, NetworkKind, Output, Request as Wanted, Task};
use drdiff_kernels::{DeviceKind, device};
use drdiff_model::{Loading, build, read_gguf};
use drdiff_serving::{Ended, Options, Served, server};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/drdiff-recall")
}

/// The tokenizer of the small model, whose tokens are bytes.
pub(crate) fn tokenizer() -> Tokenizer {
    Tokenizer::from_file(folder().join("tokenizer.json")).unwrap()
}

/// An engine with the small model.
pub(crate) fn engine(slots: usize) -> Engine {
    let (path, cpu) = (folder().join("model.gguf"), device(DeviceKind::Cpu).unwrap());
    let checkpoint = read_gguf(&std::fs::read(&path).unwrap(), &path, &cpu).unwrap();
    let (network, _) = build(checkpoint, &cpu, Loading::Inference).unwrap();
    Engine::new(network, tokenizer(), slots).unwrap()
}

/// The text of the library for a task.
pub(crate) fn written(task: impl FnOnce(&Tokenizer) -> Task, choices: &Value, noise: u64) -> Output {
    let mut engine = engine(1);
    let choices = Choices::from_json(choices.as_object().unwrap().clone()).unwrap();
    let settings = choices.resolve(NetworkKind::of(engine.network().spec())).unwrap();
    let task = task(engine.tokenizer());
    let request = Wanted {
        noise,
        ..Wanted::new(9, task, settings)
    };
    engine.submit(request).unwrap();
    loop {
        for event in engine.step().unwrap() {
            if let Event::Finished { output, .. } = event {
                return output;
            }
        }
    }
}

/// A server at work.
pub(crate) struct Server {
    pub(crate) router: Router,
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<Ended>>,
}

impl Server {
    pub(crate) async fn start(options: Options) -> Self {
        let (stop, slots) = (Arc::new(AtomicBool::new(false)), options.slots);
        let (router, worker) = server(options);
        let flag = stop.clone();
        let worker = thread::spawn(move || {
            let engine = engine(slots);
            let served = Served {
                names: vec!["drdiff".to_owned(), "drdiff-recall".to_owned()],
                tokenizer: engine.tokenizer().clone(),
                template: None,
                network: engine.network().spec().clone(),
                choices: Choices::default(),
                hash: "0123456789abcdef".to_owned(),
                commit: "fedcba9876".to_owned(),
                bytes: 1,
            };
            worker.run(engine, served, &flag).unwrap()
        });
        let server = Self {
            router,
            stop,
            worker: Some(worker),
        };
        server
            .until(|| async {
                server.get("/live").await.0 == StatusCode::OK && server.get("/v1/models").await.0 == StatusCode::OK
            })
            .await;
        server
    }

    /// Asks the server to end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// How it ended.
    pub(crate) fn ended(mut self) -> Ended {
        self.stop();
        self.worker.take().unwrap().join().unwrap()
    }

    /// Waits until something is so.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, is_so: impl Fn() -> F) {
        let begun = Instant::now();
        while !is_so().await {
            assert!(begun.elapsed() < Duration::from_secs(60), "it never came");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, String) {
        let response = self.send(Request::get(path).body(Body::empty()).unwrap()).await;
        let status = response.status();
        (status, text(response).await)
    }

    /// A body for a route; the response as it begins.
    pub(crate) async fn begin(&self, path: &str, body: impl Into<Body>) -> Response<Body> {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    /// JSON for a route; the answer as a whole.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, HeaderMap, Value) {
        let response = self.begin(path, body.to_string()).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = text(response).await;
        (
            status,
            headers,
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")),
        )
    }

    /// A completion that must be a success.
    pub(crate) async fn complete(&self, body: &Value) -> Value {
        let (status, _, answer) = self.post("/v1/completions", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    /// The chunks of a stream that must end well.
    pub(crate) async fn chunks(&self, path: &str, body: &Value) -> Vec<Value> {
        let response = self.begin(path, body.to_string()).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut frames = frames(&text(response).await);
        assert_eq!(frames.pop(), Some(json!("[DONE]")));
        frames
    }

    /// The value of a metric.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (_, page) = self.get("/metrics").await;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.unwrap_or_else(|| panic!("{name} is not in {page}"))
            .parse()
            .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A body as text.
pub(crate) async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The frames of a stream: JSON, or text that is none.
pub(crate) fn frames(text: &str) -> Vec<Value> {
    let frames = text.split("\n\n").filter_map(|frame| frame.strip_prefix("data: "));
    frames
        .map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data)))
        .collect()
}
