//! Plots as SVG, drawn by hand: points, lines, a legend, and labels that do not lie on one another.

mod draw;
mod label;
mod scale;

pub(crate) use draw::STYLE;
pub use scale::Spread;

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What is measured, with its unit.
    pub title: String,
    /// How values are spread.
    pub spread: Spread,
}

/// How the points of a series are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Not at all.
    None,
    /// In the order of the points.
    Solid,
    /// The same, dashed: for what others published.
    Dashed,
}

/// One point.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Value on the horizontal axis.
    pub x: f64,
    /// Value on the vertical axis.
    pub y: f64,
    /// A word beside it, left out where there is no room.
    pub label: Option<String>,
    /// What is shown when a pointer rests on it.
    pub title: String,
    /// Drawn hollow: it is not compared with the others.
    pub hollow: bool,
}

/// Points of one name and colour.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// How its points are joined.
    pub line: Line,
    /// Whether it is drawn in grey, without markers: a background for the others.
    pub muted: bool,
    /// Its points.
    pub marks: Vec<Mark>,
}

/// A vertical line that marks a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Value on the horizontal axis.
    pub x: f64,
    /// What it stands for.
    pub label: String,
}

/// A plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Name of the file, without its ending.
    pub name: &'static str,
    /// What is seen.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn, first things below later ones.
    pub series: Vec<Series>,
    /// Vertical lines.
    pub rules: Vec<Rule>,
}

/// Text as it may stand in XML and HTML. Characters that XML does not allow at all become replacement characters.
#[must_use]
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => escaped.push('\u{FFFD}'),
            c => escaped.push(c),
        }
    }
    escaped
}
