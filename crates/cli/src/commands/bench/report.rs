//! Rows on stdout: JSON lines as they come, or one table at the end.

use anyhow::Result;

use super::row::Row;
use crate::output::Out;

/// Takes the rows of a benchmark.
pub(super) struct Report {
    out: Out,
    json: bool,
    rows: Vec<Row>,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self {
            out: Out::default(),
            json,
            rows: Vec::new(),
        }
    }

    /// Takes a row; with `--json` it is printed at once, so that a long benchmark that is stopped leaves something.
    pub(super) fn add(&mut self, row: Row) -> Result<()> {
        if self.json {
            return self.out.text(&(serde_json::to_string(&row)? + "\n"));
        }
        self.rows.push(row);
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Prints the table.
    pub(super) fn finish(mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.out.text(&table(&self.rows))
    }
}

const HEAD: [&str; 12] = [
    "what", "of", "by", "shape", "dtype", "density", "ms", "CPU ms", "tokens/s", "GFLOP/s", "GB/s", "peak MiB",
];
/// Columns from here on hold numbers.
const FIRST_NUMBER: usize = 5;

fn table(rows: &[Row]) -> String {
    let lines: Vec<[String; HEAD.len()]> = std::iter::once(HEAD.map(str::to_owned))
        .chain(rows.iter().map(cells))
        .collect();
    let widths: [usize; HEAD.len()] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0));
    let mut table = String::new();
    for line in &lines {
        let cells = line.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if column < FIRST_NUMBER {
                format!("{cell:width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        table += cells.collect::<Vec<_>>().join("  ").trim_end();
        table.push('\n');
    }
    table
}

fn cells(row: &Row) -> [String; HEAD.len()] {
    let subject = &row.subject;
    let sizes: Vec<String> = subject
        .shape
        .0
        .iter()
        .map(|(name, size)| format!("{name}={size}"))
        .collect();
    let number = |value: Option<f64>, unit: f64, digits: usize| match value {
        Some(value) => format!("{:.digits$}", value / unit),
        None => "-".to_owned(),
    };
    [
        subject.what.to_owned(),
        subject.variant.clone(),
        subject.peer.unwrap_or("drdiff").to_owned(),
        sizes.join(" "),
        subject.dtype.to_owned(),
        number(subject.density, 1.0, 4),
        format!("{:.3}", row.ms),
        number(row.cpu_ms, 1.0, 3),
        number(row.tokens_per_s, 1.0, 0),
        number(row.flops_per_s, 1e9, 1),
        number(row.bytes_per_s, 1e9, 2),
        number(row.peak_bytes.map(|bytes| bytes as f64), 1_048_576.0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::clock::Timing;
    use super::super::row::{Machine, Sizes, Subject, Work};
    use super::*;

    #[test]
    fn columns_line_up_and_missing_numbers_are_dashes() {
        let machine = Machine {
            device: candle_core::Device::Cpu,
            name: "cpu".to_owned(),
            threads: None,
        };
        let row = |what, tokens, ms| {
            let subject = Subject {
                bench: "attention",
                what,
                variant: "dense".to_owned(),
                peer: None,
                shape: Sizes(vec![("n", 64), ("batch", 2)]),
                dtype: "f32",
                density: None,
            };
            let work = Work {
                tokens,
                ..Work::default()
            };
            Row::new(subject, &machine, Timing::once(ms), work)
        };
        let text = table(&[row("forward", Some(128), 2.0), row("backward", None, 1234.5)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[1].contains("n=64 batch=2") && lines[1].contains(" 64000 "),
            "{text}"
        );
        let end = |line: &str, word: &str| line.find(word).unwrap() + word.len();
        assert_eq!(end(lines[1], "2.000"), end(lines[2], "1234.500"), "{text}");
        assert!(lines[2].contains(" - "), "{text}");
    }
}
