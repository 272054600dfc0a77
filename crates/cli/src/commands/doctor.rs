//! `drdiff doctor`: what this machine and this build have, and whether the default model writes.

use std::time::Instant;

use anyhow::Result;
use clap::Args;
use drdiff::{Settings, Source};
use drdiff_kernels::{DeviceKind, device};

use crate::exit::{self, Exit};
use crate::output::Out;
use crate::{COMMIT, memory};

/// Arguments of `drdiff doctor`.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct DoctorArgs {
    /// Leave out the texts that are written to measure the speed
    #[arg(long)]
    no_speed: bool,
}

/// Tokens of the text that is timed.
const TOKENS: usize = 64;

pub(crate) fn run(args: &DoctorArgs) -> Result<Exit> {
    let mut out = Out::default();
    let mut line = |what: &str, found: &str| out.text(&format!("{what:12} {found}\n"));
    line("program", &format!("{} ({COMMIT})", env!("CARGO_PKG_VERSION")))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    line("processor", &format!("{threads} threads, {}", vector_sets()))?;
    if let Some(bytes) = memory::free() {
        line("memory", &format!("{:.1} GB free", bytes as f64 / 1e9))?;
    }
    let gpu = device(DeviceKind::Cuda(0));
    line(
        "GPU",
        &gpu.map_or_else(|error| error.to_string(), |_| "cuda:0 is usable".to_owned()),
    )?;
    if !Source::has_default() {
        line("model", "none is bundled and DRDIFF_MODEL names none")?;
        return Ok(Exit::Done);
    }
    let source = Source::find(None)?;
    let hash = source.hash();
    let (path, size) = (source.path.display(), source.size() as f64 / 1e6);
    line("model", &format!("{path}, {size:.1} MB, hash {}", &hash[..12]))?;
    if args.no_speed {
        return Ok(Exit::Done);
    }
    let started = Instant::now();
    let model = drdiff::load_default()?;
    line("loading", &format!("{:.2} s", started.elapsed().as_secs_f64()))?;
    let started = Instant::now();
    let settings = Settings::default().tokens(TOKENS).set("stop_at_end", false)?;
    let text = model.generate("The old house", &settings)?.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    let rate = text.committed_tokens as f64 / seconds;
    line(
        "writing",
        &format!("{rate:.0} tokens/s, {} passes for {TOKENS} tokens", text.nfe),
    )?;
    Ok(Exit::Done)
}

/// The sets of vector instructions that kernels look for.
fn vector_sets() -> String {
    #[cfg(target_arch = "x86_64")]
    let found: Vec<&str> = [
        ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
        ("FMA", std::arch::is_x86_feature_detected!("fma")),
        ("AVX-512", std::arch::is_x86_feature_detected!("avx512f")),
        ("VNNI", std::arch::is_x86_feature_detected!("avx512vnni")),
    ]
    .into_iter()
    .filter_map(|(name, has)| has.then_some(name))
    .collect();
    #[cfg(not(target_arch = "x86_64"))]
    let found: Vec<&str> = Vec::new();
    match found.is_empty() {
        true => format!("{}, no vector instructions that kernels use", std::env::consts::ARCH),
        false => found.join(", "),
    }
}
