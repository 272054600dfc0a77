//! The report of a sweep: which setting is cheap and good, the plots, and the texts to look at.
//!
//! Rows are ranked by the perplexity of a judge, and only among rows of like entropy (see [`drdiff_evaluation::bands`]); the page says so.

mod figures;
mod page;
mod plot;
mod published;
mod row;
mod samples;
mod tables;
mod verdict;

use drdiff_evaluation::{Band, Point, bands};
pub use plot::{Axis, Figure, Line, Mark, Rule, Series, Spread};
pub use published::{PUBLISHED, Published};
pub use row::{Costs, Reading, Row, Sample};
pub use verdict::verdict;

use crate::sweep::LeftOut;

/// Human text that entropies are compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// What it is.
    pub name: String,
    /// Unigram entropy of its texts, cut to the length of the sweep's, nats a token.
    pub entropy: f64,
}

/// Everything that a report tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// One row for each cell.
    pub rows: Vec<Row>,
    /// The judge's name, if there was one.
    pub judge: Option<String>,
    /// Whether the judge is the default one, a relative of what wrote the texts.
    pub related: bool,
    /// Name of the features that distances are measured in, if they were.
    pub features: Option<String>,
    /// Human text, if some was given.
    pub reference: Option<Reference>,
    /// Where it ran.
    pub device: String,
    /// The prompts.
    pub prompts: Vec<String>,
    /// Combinations that were not run.
    pub left_out: Vec<LeftOut>,
    /// Texts that failed.
    pub failed: usize,
    /// What else a reader may ask for, name by name: model, revision, command.
    pub facts: Vec<(String, String)>,
}

impl Report {
    /// The bands of the rows; none without a judge, or where a row was not judged.
    #[must_use]
    pub fn bands(&self) -> Vec<Band> {
        let points: Option<Vec<Point>> = self.rows.iter().map(Row::point).collect();
        let reference = self.reference.as_ref().map(|reference| reference.entropy);
        points.map_or_else(Vec::new, |points| bands(&points, reference))
    }

    /// The plots. Those that have nothing to show are left out.
    #[must_use]
    pub fn figures(&self) -> Vec<Figure> {
        let mut figures = figures::figures(self, &self.bands());
        figures.retain(|figure| figure.inline().is_some());
        figures
    }

    /// The whole report as one HTML file that needs no other.
    #[must_use]
    pub fn html(&self) -> String {
        page::page(self)
    }
}
