//! `cargo xtask ci`: all checks in one go, cheap ones first.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave a step out; may be given more than once.
    #[arg(long, value_enum)]
    skip: Vec<Step>,
}

/// The steps, in the order they run. All use the dev profile and the default features, so that clippy
/// and doc share one set of checked dependencies and nothing is built twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    Fmt,
    Tidy,
    Clippy,
    Doc,
    Test,
}

impl Step {
    fn cargo_arguments(self) -> Option<&'static [&'static str]> {
        match self {
            Step::Fmt => Some(&["fmt", "--all", "--check"]),
            Step::Tidy => None,
            Step::Clippy => Some(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "-D",
                "warnings",
            ]),
            Step::Doc => Some(&["doc", "--workspace", "--no-deps", "--locked"]),
            Step::Test => Some(&["test", "--workspace", "--locked"]),
        }
    }

    fn run(self, root: &Path) -> Result<()> {
        let Some(arguments) = self.cargo_arguments() else {
            return crate::tidy::run(root);
        };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(root).args(arguments);
        if self == Step::Doc {
            command.env("RUSTDOCFLAGS", "-D warnings");
        }
        let line = format!("cargo {}", arguments.join(" "));
        let status = command.status().with_context(|| format!("could not start `{line}`"))?;
        if !status.success() {
            bail!("`{line}` failed ({status})");
        }
        Ok(())
    }
}

/// Runs every step that was not skipped, goes on after a failure, and fails at the end if any did.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    let mut rows = Vec::new();
    for &step in Step::value_variants().iter().filter(|step| !args.skip.contains(step)) {
        println!("==> {step:?}");
        let start = Instant::now();
        let result = step.run(root);
        if let Err(error) = &result {
            eprintln!("error: {error:#}");
        }
        rows.push((step, start.elapsed(), result.is_ok()));
    }
    println!("\n{}", summary(&rows));
    match rows.iter().filter(|(_, _, passed)| !passed).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} steps failed", rows.len()),
    }
}

fn summary(rows: &[(Step, Duration, bool)]) -> String {
    rows.iter()
        .map(|(step, time, passed)| {
            let verdict = if *passed { "ok" } else { "FAILED" };
            format!("{:<8}{:>8.1} s  {verdict}", format!("{step:?}"), time.as_secs_f64())
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_every_step_its_time_and_its_verdict() {
        let rows = [
            (Step::Fmt, Duration::from_millis(1500), true),
            (Step::Clippy, Duration::from_secs(60), false),
        ];
        assert_eq!(summary(&rows), "Fmt          1.5 s  ok\nClippy      60.0 s  FAILED");
    }

    #[test]
    fn cheap_steps_come_first_and_tests_last() {
        assert_eq!(Step::value_variants().first(), Some(&Step::Fmt));
        assert_eq!(Step::value_variants().last(), Some(&Step::Test));
    }
}
