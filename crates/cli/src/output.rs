//! Writing to stdout and stderr without ever panicking: a reader may go away at any time.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

use crate::exit::ClosedPipe;

/// The standard output. A closed pipe becomes [`ClosedPipe`], which ends the program with success.
#[derive(Debug, Default)]
pub(crate) struct Out {
    in_line: bool,
}

impl Out {
    /// Writes text at once.
    pub(crate) fn text(&mut self, text: &str) -> anyhow::Result<()> {
        if let Some(last) = text.chars().last() {
            self.in_line = last != '\n';
            let mut stdout = io::stdout().lock();
            checked(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))?;
        }
        Ok(())
    }

    /// Ends a line that was begun.
    pub(crate) fn end_line(&mut self) -> anyhow::Result<()> {
        if self.in_line { self.text("\n") } else { Ok(()) }
    }

    /// Writes a value as JSON, indented, with a line end.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        self.text(&(serde_json::to_string_pretty(value)? + "\n"))
    }
}

fn checked(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ClosedPipe.into()),
        other => Ok(other?),
    }
}

/// Writes a line to stderr. There is nobody left to tell when that fails.
pub(crate) fn tell(line: &dyn Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes the sentence of an error.
pub(crate) fn complain(sentence: &str) {
    tell(&format_args!("drdiff: {sentence}"));
}

/// Writes a remark that is no error, unless silence was asked for.
pub(crate) fn remark(quiet: bool, sentence: &str) {
    if !quiet {
        tell(&format_args!("drdiff: note: {sentence}"));
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut parts: Vec<&str> = if first > 0 { vec![&digits[..first]] } else { Vec::new() };
    parts.extend((first..digits.len()).step_by(3).map(|start| &digits[start..start + 3]));
    parts.join(",")
}

/// A number of things: `1 text`, `1,234 texts`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A duration as people say it.
pub(crate) fn time(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_many() {
        assert_eq!(
            [0, 1, 2000].map(|n| counted(n, "text")),
            ["0 texts", "1 text", "2,000 texts"]
        );
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(
            [0, 12, 999, 1000, 1_234_567].map(grouped),
            ["0", "12", "999", "1,000", "1,234,567"]
        );
    }
}
