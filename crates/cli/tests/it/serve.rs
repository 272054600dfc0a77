//! `drdiff serve` as a program: its texts are those of `drdiff generate`, and it ends as it should.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fixture::{RunExt, drdiff};

/// A server on a free port.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut command = drdiff();
        command.args(["serve", "--port", "0"]).args(args).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).unwrap_or_else(|| panic!("{line}"));
        let address = address.split('/').next().unwrap().to_owned();
        // Nobody else reads the log.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        let server = Self { child, address };
        let begun = Instant::now();
        while server.ask("GET", "/health", "").0 != 200 {
            assert!(begun.elapsed() < Duration::from_secs(60));
            sleep(Duration::from_millis(5));
        }
        server
    }

    fn send(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let (host, length) = (&self.address, body.len());
        // Answers of this version have no chunks, and end with the connection.
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        stream
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        read(self.send(method, path, body))
    }

    fn complete(&self, body: &Value) -> Value {
        let (status, answer) = self.ask("POST", "/v1/completions", &body.to_string());
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).unwrap()
    }

    fn signal(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    fn code(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended is no trouble.
        let _ = self.child.kill();
    }
}

fn read(mut stream: TcpStream) -> (u16, String) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn texts_are_those_of_generate_plain_and_streamed() {
    let server = Server::start(&["--slots", "2", "--steps", "4"]);
    for (settings, flags) in [
        (json!({ "steps": 8 }), &["--steps", "8"][..]),
        (json!({}), &["--steps", "4"]),
        (
            json!({ "block_size": 1, "steps": 1, "temperature": 0.9 }),
            &["--block-size", "1", "--steps", "1", "--temperature", "0.9"],
        ),
        (
            json!({ "process": "gaussian", "order": 3 }),
            &["--process", "gaussian", "--order", "3", "--steps", "4"],
        ),
    ] {
        let ran = drdiff()
            .args([
                "generate",
                "The old house",
                "--json",
                "--quiet",
                "--seed",
                "7",
                "--tokens",
                "48",
            ])
            .args(flags)
            .run();
        let expected = ran.json();
        let body = json!({ "prompt": "The old house", "seed": 7, "max_tokens": 48, "diffusion": settings });
        let answer = server.complete(&body);
        assert_eq!(answer["choices"][0]["text"], expected["text"], "{settings}");
        assert_eq!(answer["diffusion"]["settings"], expected["settings"]);
        for told in ["nfe", "flops", "stop_reason", "model_hash"] {
            let told_by = if told == "model_hash" {
                &answer["diffusion"]
            } else {
                &answer["choices"][0]["diffusion"]
            };
            assert_eq!(told_by[told], expected[told], "{told}");
        }
        let mut streamed = body.clone();
        streamed["stream"] = json!(true);
        let (status, frames) = server.ask("POST", "/v1/completions", &streamed.to_string());
        assert_eq!(status, 200);
        let chunks = frames.split("\n\n").filter_map(|frame| frame.strip_prefix("data: {"));
        let texts = chunks.map(|chunk| serde_json::from_str::<Value>(&format!("{{{chunk}")).unwrap());
        let text: String = texts
            .map(|chunk| chunk["choices"][0]["text"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(text, expected["text"].as_str().unwrap(), "{settings}");
    }
    let filled = drdiff()
        .args([
            "generate",
            "--infill",
            "It was [[9]] here.",
            "--json",
            "-q",
            "--seed",
            "3",
            "--steps",
            "4",
        ])
        .run();
    let body = json!({ "prompt": "It was [[9]] here.", "seed": 3, "diffusion": { "infill": true } });
    assert_eq!(server.complete(&body)["choices"][0]["text"], filled.json()["text"]);
    server.signal();
    assert_eq!(server.code(), 0);
}

#[test]
fn the_first_signal_lets_texts_end_and_the_second_does_not() {
    let long = |tokens: usize| {
        json!({ "prompt": "a", "max_tokens": tokens, "diffusion": { "block_size": 1, "stop_at_end": false } })
            .to_string()
    };
    let running = |server: &Server| {
        while !server
            .ask("GET", "/metrics", "")
            .1
            .contains("drdiff_requests_running 1")
        {
            sleep(Duration::from_millis(1));
        }
    };
    let server = Server::start(&[]);
    let answer = server.send("POST", "/v1/completions", &long(1500));
    running(&server);
    server.signal();
    let (status, text) = read(answer);
    let text: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &text["usage"]["completion_tokens"]), (200, &json!(1500)));
    assert_eq!(server.code(), 0);

    let server = Server::start(&["--drain", "0.1"]);
    let answer = server.send("POST", "/v1/completions", &long(8000));
    running(&server);
    server.signal();
    let (status, text) = read(answer);
    assert!(status == 503 && text.contains("draining"), "{status} {text}");
    assert_eq!(server.code(), 75, "a text was cut");

    let server = Server::start(&[]);
    let _answer = server.send("POST", "/v1/completions", &long(8000));
    running(&server);
    server.signal();
    sleep(Duration::from_millis(50));
    server.signal();
    assert_eq!(server.code(), 75);
}

#[test]
fn what_cannot_be_served_is_refused_before_anything_is_loaded() {
    let server = Server::start(&[]);
    let port = server.address.split(':').nth(1).unwrap();
    drdiff()
        .args(["serve", "--port", port])
        .run()
        .fails(2, &["cannot listen at 127.0.0.1", "--port"]);
    drdiff()
        .args(["serve", "--host", "no such host"])
        .run()
        .fails(2, &["no address of this machine"]);
    drdiff()
        .args(["serve", "--model", "/nowhere"])
        .run()
        .fails(2, &["there is no model at /nowhere"]);
    drdiff()
        .args(["serve", "--block-size", "8", "--steps", "9"])
        .run()
        .fails(2, &["9 steps"]);
}
