//! `drdiff serve`: an HTTP server in the form of OpenAI's API.

mod args;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use drdiff::{Source, kind_of};
use drdiff_generation::Engine;
use drdiff_kernels::{DeviceKind, device};
use drdiff_serving::{Ended, Http, Options, Served, server};

pub(crate) use args::ServeArgs;

use crate::exit::{Exit, sentence, usage};
use crate::model::find;
use crate::output::{complain, counted, remark, tell};
use crate::{COMMIT, interrupt};

/// How long answers may still be sent when all texts are written.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &ServeArgs) -> Result<Exit> {
    let choices = args.sampler.choices(args.quiet)?;
    choices.resolve(kind_of(args.model.as_deref()))?.check_steps()?;
    let address = address(&args.host, args.port)?;
    let stop = interrupt::patient();
    let source = find(args.model.as_deref(), args.quiet)?;
    if !args.quiet {
        // One line for each answer; who listens twice in a process has one log.
        let _ = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_target(false)
            .with_writer(io::stderr)
            .try_init();
    }
    let options = options(args, address);
    let (slots, patience) = (options.slots, options.patience);
    let (router, worker) = server(options);
    let http = Http::listen(router, address, patience).map_err(|error| {
        usage(format!(
            "cannot listen at {address}: {error}; choose another --host or --port"
        ))
    })?;
    let address = http.address();
    if !address.ip().is_loopback() && args.api_key.is_none() {
        remark(
            args.quiet,
            "everybody who reaches this machine can use the server; set a key with --api-key",
        );
    }
    let (network, tokenizer) = source.load(&device(args.device)?)?;
    let engine = Engine::new(network, tokenizer, slots)?;
    let words = source.words()?;
    let served = Served {
        names: names(args, &source),
        tokenizer: engine.tokenizer().clone(),
        template: words.template,
        network: engine.network().spec().clone(),
        choices,
        hash: source.hash(),
        commit: COMMIT.to_owned(),
        bytes: source.size(),
    };
    if !args.quiet {
        welcome(address, served.names.first().map_or("drdiff", String::as_str));
    }
    let ended = worker.run(engine, served, &stop);
    http.stop(LAST_WORDS);
    Ok(match ended {
        Ok(Ended::Whole) => Exit::Done,
        Ok(Ended::Cut(texts)) => {
            let cut = counted(texts as u64, "text");
            remark(
                args.quiet,
                &format!("not finished within {} s: {cut}", args.drain.as_secs_f64()),
            );
            Exit::Interrupted
        }
        // Whatever it is, it happened while running, and a new start may help.
        Err(error) => {
            complain(&sentence(&error.into()));
            Exit::Runtime
        }
    })
}

fn address(host: &str, port: u16) -> Result<SocketAddr> {
    let host = host.trim_matches(['[', ']']);
    let found = (host, port).to_socket_addrs().ok().and_then(|mut all| all.next());
    found.ok_or_else(|| {
        usage(format!(
            "{host:?} is no address of this machine; give one such as 127.0.0.1"
        ))
    })
}

fn options(args: &ServeArgs, address: SocketAddr) -> Options {
    let slots = match args.device {
        DeviceKind::Cpu => 4,
        DeviceKind::Cuda(_) => 64,
    };
    Options {
        slots: args.slots.unwrap_or(slots),
        max_waiting: args.max_waiting,
        queue_timeout: args.queue_timeout,
        timeout: args.timeout,
        drain: args.drain,
        stall: args.stall,
        max_body: args.max_body,
        max_tokens: args.token_limit,
        key: args.api_key.clone().filter(|key| !key.is_empty()),
        cors: args.cors.clone(),
        local: address.ip().is_loopback(),
        vllm_metrics: args.vllm_metrics,
        ..Options::default()
    }
}

/// What the model may be called: what was given, its file or its folder, and the program's name.
fn names(args: &ServeArgs, source: &Source) -> Vec<String> {
    let is_model = |path: &&Path| path.file_stem().is_some_and(|stem| stem != "model");
    let path = Some(source.path.as_path());
    let path = path.filter(is_model).or_else(|| path?.parent());
    let name = path.and_then(|path| match path.is_dir() {
        true => path.file_name(),
        false => path.file_stem(),
    });
    let name = name
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name != "bundled");
    let mut names = args.alias.clone();
    names.extend(name);
    names.push("drdiff".to_owned());
    names
}

/// Tells where the server is, and a line to try it with.
fn welcome(address: SocketAddr, model: &str) {
    tell(&format_args!(
        "drdiff: {model} is served at http://{address}/ (the API: http://{address}/v1)"
    ));
    let body = r#"{"prompt": "The old house", "max_tokens": 60, "stream": true}"#;
    tell(&format_args!(
        "  curl -N http://{address}/v1/completions -H 'content-type: application/json' -d '{body}'"
    ));
}
