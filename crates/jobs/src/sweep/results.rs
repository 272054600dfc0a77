//! From the texts of a sweep to its table and its report.

use drdiff_evaluation::Band;
use drdiff_evaluation::distance::{Distances, Human};
use drdiff_evaluation::metrics::Counts;

use super::cell::Cell;
use super::error::Result;
use super::human::distances;
use super::judged::Judged;
use super::runner::Runner;
use super::text::{ModelId, TextRecord};
use crate::report::{Costs, Reading, Report, Row, Sample};
use crate::table::{Table, Value};

/// A cell with its texts and everything measured on them.
#[derive(Debug)]
pub struct CellResult<'a> {
    cell: &'a Cell,
    model: &'a ModelId,
    texts: Vec<&'a TextRecord>,
    counts: Counts,
    perplexity: Option<(f64, Option<f64>)>,
    distances: Option<Distances>,
}

impl<'a> CellResult<'a> {
    /// Measures the finished texts of a cell. `None` when there are none, or none with a token.
    #[must_use]
    pub fn new(runner: &'a Runner, cell: &'a Cell, model: &'a ModelId, judged: Option<&Judged>) -> Option<Self> {
        let texts = runner.texts(cell, model);
        let counts = Counts::of(texts.iter().map(|text| text.ids.as_slice()))?;
        Some(Self {
            perplexity: judged.and_then(|judged| judged.perplexity(&texts)),
            cell,
            model,
            texts,
            counts,
            distances: None,
        })
    }

    /// Measures how far the texts are from human text, if there are enough of them.
    ///
    /// # Errors
    /// If a text cannot be read.
    pub fn measure(&mut self, human: &Human<'_>) -> Result<()> {
        self.distances = distances(human, &self.texts)?;
        Ok(())
    }

    fn sum(&self, of: impl Fn(&TextRecord) -> f64) -> f64 {
        self.texts.iter().map(|text| of(text)).sum()
    }

    fn tokens(&self) -> usize {
        self.texts.iter().map(|text| text.ids.len()).sum()
    }

    /// The row of the report.
    #[must_use]
    pub fn row(&self) -> Row {
        let tokens = self.tokens() as f64;
        Row {
            settings: self.cell.columns(),
            texts: self.texts.len(),
            tokens: self.tokens(),
            costs: Costs {
                nfe: self.sum(|text| text.nfe as f64) / tokens,
                seconds: self.sum(|text| text.seconds) / tokens,
                flops: self.sum(|text| text.flops as f64) / tokens,
            },
            reading: Reading {
                perplexity: self.perplexity.map(|(perplexity, _)| perplexity),
                perplexity_error: self.perplexity.and_then(|(_, error)| error),
                entropy: self.counts.entropy,
                distinct: self.counts.distinct[1],
                repeated: self.counts.repeated_4.all,
                with_grams: [1, 3].map(|place| self.counts.distinct_texts[place]),
                distances: self.distances,
            },
            samples: self.texts.iter().map(|text| sample(text)).collect(),
        }
    }

    /// All settings as JSON, those of texts' seeds aside.
    fn settings(&self) -> String {
        serde_json::to_string(&self.cell.settings).unwrap_or_default()
    }

    fn columns(&self, index: usize, report: &Report, bands: &[Band], place: &Place<'_>) -> Vec<(&'static str, Value)> {
        let row = &report.rows[index];
        let count = self.texts.len() as f64;
        let counts = &self.counts;
        let band = bands.iter().position(|band| band.rows.contains(&index));
        let in_band = |of: &dyn Fn(&Band) -> bool| band.map(|band| of(&bands[band]));
        let sum = |of: &dyn Fn(&TextRecord) -> usize| -> usize { self.texts.iter().map(|text| of(text)).sum() };
        let distance = |of: &dyn Fn(&Distances) -> f64| self.distances.as_ref().map(of);
        let [first, second, third, fourth] = counts.repeated_4.by_quarter;
        let mut columns = self.cell.columns();
        columns.extend([
            ("device", Value::from(place.device)),
            ("batch", place.batch.into()),
            (
                "seeds",
                joined(self.texts.iter().map(|text| text.seed.to_string())).into(),
            ),
            ("prompts", place.prompts.into()),
            ("texts", self.texts.len().into()),
            ("tokens_text", self.tokens().into()),
            ("tokens_committed", sum(&|text| text.tokens_committed).into()),
            ("tokens_canvas", sum(&|text| text.tokens_canvas).into()),
            ("ended", (sum(&|text| usize::from(text.ended)) as f64 / count).into()),
            ("nfe_per_text", (self.sum(|text| text.nfe as f64) / count).into()),
            ("nfe_per_token", row.costs.nfe.into()),
            ("seconds_per_text", (self.sum(|text| text.seconds) / count).into()),
            ("seconds_per_token", row.costs.seconds.into()),
            ("flops_per_text", (self.sum(|text| text.flops as f64) / count).into()),
            ("flops_per_token", row.costs.flops.into()),
            ("judge", report.judge.as_deref().into()),
            ("perplexity", row.reading.perplexity.into()),
            ("log_perplexity_error", row.reading.perplexity_error.into()),
            ("entropy", counts.entropy.into()),
            ("distinct_1", counts.distinct[0].into()),
            ("distinct_2", counts.distinct[1].into()),
            ("repeated_4_grams", counts.repeated_4.all.into()),
            ("repeated_4_grams_q1", first.into()),
            ("repeated_4_grams_q2", second.into()),
            ("repeated_4_grams_q3", third.into()),
            ("repeated_4_grams_q4", fourth.into()),
            ("features", report.features.as_deref().into()),
            ("frechet", distance(&|d| d.frechet).into()),
            ("frechet_human", distance(&|d| d.frechet_floor).into()),
            ("mauve", distance(&|d| d.mauve).into()),
            ("mauve_human", distance(&|d| d.mauve_ceiling).into()),
            ("group", band.map(|band| band + 1).into()),
            ("is_best", in_band(&|band| band.best == index).into()),
            ("is_cheapest", in_band(&|band| band.cheapest == index).into()),
            ("is_pareto", in_band(&|band| band.front.contains(&index)).into()),
            ("settings", self.settings().into()),
            ("model_hash", self.model.hash.as_str().into()),
            (
                "program_commit",
                joined(self.texts.iter().map(|text| text.commit.clone())).into(),
            ),
            ("program_version", env!("CARGO_PKG_VERSION").into()),
        ]);
        columns
    }
}

/// What all rows of a table have in common.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The device.
    pub device: &'a str,
    /// Texts written at once.
    pub batch: usize,
    /// Prompts of each cell.
    pub prompts: usize,
}

/// The table of results: a row for each cell, in the order of the report's rows.
#[must_use]
pub fn table(results: &[CellResult<'_>], report: &Report, place: &Place<'_>) -> Table {
    let bands = report.bands();
    let rows = results
        .iter()
        .enumerate()
        .map(|(index, result)| result.columns(index, report, &bands, place));
    Table::new(rows.collect())
}

fn sample(text: &TextRecord) -> Sample {
    Sample {
        prompt: text.prompt,
        seed: text.seed,
        request: text.request,
        text: text.text.clone(),
    }
}

/// Different words in the order in which they come, with spaces between.
fn joined(words: impl Iterator<Item = String>) -> String {
    let mut different: Vec<String> = Vec::new();
    for word in words {
        if !different.contains(&word) {
            different.push(word);
        }
    }
    different.join(" ")
}
