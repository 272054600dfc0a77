//! Which plots a report has, and what is on them.

use drdiff_evaluation::{Band, COMPARABLE};

use super::plot::{Axis, Figure, Line, Mark, Rule, Series, Spread};
use super::published::PUBLISHED;
use super::row::{Row, groups, varied};
use super::{Reference, Report};

/// Most lines of one plot; more could not be told apart.
const MOST: usize = 8;

/// Name of the points that no line joins.
const OTHERS: &str = "other settings";

/// The plots of a report. `bands` are those of its rows, if there is a judge.
pub(super) fn figures(report: &Report, bands: &[Band]) -> Vec<Figure> {
    let drawn = Drawn {
        report,
        varied: varied(&report.rows),
        main: bands.first(),
    };
    let mut figures = Vec::new();
    match &report.judge {
        Some(judge) => {
            let y = (format!("perplexity under {judge}"), "Perplexity");
            let names = ["quality_nfe", "quality_seconds", "quality_flops"];
            for (cost, name) in drawn.costs().into_iter().zip(names) {
                figures.push(drawn.against(name, &cost, &y, Spread::Log, &|row| row.reading.perplexity));
            }
            figures.push(drawn.frontier(judge));
            figures.extend(drawn.degradation(judge));
        }
        None => {
            let entropy = ("unigram entropy of a text (nats a token)".to_owned(), "Entropy");
            let repeated = ("repeated 4-grams (%)".to_owned(), "Repetition");
            for (cost, name) in drawn
                .costs()
                .into_iter()
                .zip(["entropy_nfe", "entropy_seconds", "entropy_flops"])
            {
                figures.push(drawn.against(name, &cost, &entropy, Spread::Linear, &|row| Some(row.reading.entropy)));
            }
            for (cost, name) in drawn
                .costs()
                .into_iter()
                .zip(["repeated_nfe", "repeated_seconds", "repeated_flops"])
            {
                let percent = |row: &Row| Some(100.0 * row.reading.repeated?);
                figures.push(drawn.against(name, &cost, &repeated, Spread::Linear, &percent));
            }
        }
    }
    figures
}

/// A cost axis: its title, the word for titles of plots, and the cost of a row.
struct Cost {
    axis: String,
    word: &'static str,
    of: fn(&Row) -> f64,
    unit: f64,
}

struct Drawn<'a> {
    report: &'a Report,
    varied: Vec<&'static str>,
    main: Option<&'a Band>,
}

impl Drawn<'_> {
    fn costs(&self) -> [Cost; 3] {
        let most = |of: fn(&Row) -> f64| self.report.rows.iter().map(of).fold(0.0, f64::max);
        let flops: fn(&Row) -> f64 = |row| row.costs.flops;
        let seconds: fn(&Row) -> f64 = |row| row.costs.seconds;
        let (unit, name) = if most(flops) < 1e9 {
            (1e6, "MFLOP")
        } else {
            (1e9, "GFLOP")
        };
        let (second, seconds_name) = if most(seconds) < 1.0 {
            (1e-3, "milliseconds")
        } else {
            (1.0, "seconds")
        };
        [
            Cost {
                axis: "network passes a token".to_owned(),
                word: "network passes",
                of: |row| row.costs.nfe,
                unit: 1.0,
            },
            Cost {
                axis: format!("{seconds_name} a token, {}", self.report.device),
                word: "time",
                of: seconds,
                unit: second,
            },
            Cost {
                axis: format!("operations a token ({name})"),
                word: "operations",
                of: flops,
                unit,
            },
        ]
    }

    /// Rows as lines: joined are those that differ in `along` only. Each has its name.
    fn lines(&self, along: &str) -> (Vec<(String, Vec<usize>)>, Line) {
        let names =
            |without: &str| -> Vec<&str> { self.varied.iter().copied().filter(|name| *name != without).collect() };
        let rows = &self.report.rows;
        let (joined, alone): (Vec<_>, Vec<_>) = groups(rows, &names(along))
            .into_iter()
            .partition(|(_, members)| members.len() > 1);
        if !joined.is_empty() && joined.len() < MOST && self.varied.contains(&along) {
            // Rows that are in no line share a colour; where they are is told by their words.
            let alone: Vec<usize> = alone.into_iter().flat_map(|(_, members)| members).collect();
            let others = (!alone.is_empty()).then(|| (OTHERS.to_owned(), alone));
            return (joined.into_iter().chain(others).collect(), Line::Solid);
        }
        // Too many lines: the colour tells one setting, and points stay alone.
        let by_one = names(along).into_iter().map(|name| groups(rows, &[name]));
        let told = by_one
            .filter(|groups| (2..=MOST).contains(&groups.len()))
            .min_by_key(Vec::len);
        (told.unwrap_or_else(|| groups(rows, &[])), Line::None)
    }

    fn series(
        &self,
        along: &str,
        of: &dyn Fn(&Row) -> Option<(f64, f64)>,
        hollow: &dyn Fn(usize) -> bool,
    ) -> Vec<Series> {
        let (lines, line) = self.lines(along);
        let rows = &self.report.rows;
        let mark = |index: usize| {
            let (x, y) = of(&rows[index])?;
            let label = rows[index].setting(along).filter(|_| self.varied.contains(&along));
            Some(Mark {
                x,
                y,
                label: label.map(ToString::to_string),
                title: rows[index].label(&self.varied),
                hollow: hollow(index),
            })
        };
        let series = lines.into_iter().map(|(name, members)| Series {
            line: if name == OTHERS { Line::None } else { line },
            name: if name.is_empty() { "this sweep".to_owned() } else { name },
            muted: false,
            marks: sorted(members, rows, along).into_iter().filter_map(mark).collect(),
        });
        series.collect()
    }

    /// A measure against a cost.
    fn against(
        &self,
        name: &'static str,
        cost: &Cost,
        (y_title, word): &(String, &str),
        spread: Spread,
        of: &dyn Fn(&Row) -> Option<f64>,
    ) -> Figure {
        let place = |row: &Row| Some(((cost.of)(row) / cost.unit, of(row)?));
        let rows = &self.report.rows;
        let unranked = |index: usize| self.main.is_some_and(|band| !band.rows.contains(&index));
        let mut series = Vec::new();
        if let Some(band) = self.main {
            let front = drdiff_evaluation::front(&band.rows, |row| place(&rows[row]).unwrap_or((f64::NAN, f64::NAN)));
            let marks: Vec<Mark> = front
                .into_iter()
                .filter_map(|row| place(&rows[row]))
                .map(plain)
                .collect();
            // One point makes no line.
            series.extend((marks.len() > 1).then(|| Series {
                name: "Pareto front".to_owned(),
                line: Line::Solid,
                muted: true,
                marks,
            }));
        }
        series.extend(self.series("steps", &place, &unranked));
        let labels = if self.varied.contains(&"steps") {
            "; numbers are steps a block"
        } else {
            ""
        };
        Figure {
            name,
            title: format!("{word} against {}{labels}", cost.word),
            x: Axis {
                title: cost.axis.clone(),
                spread: Spread::Log,
            },
            y: Axis {
                title: y_title.clone(),
                spread,
            },
            series,
            rules: Vec::new(),
        }
    }

    /// Perplexity against entropy: what temperature buys.
    fn frontier(&self, judge: &str) -> Figure {
        let tempered = self.varied.contains(&"temperature");
        let (along, what) = match tempered {
            true => ("temperature", "numbers are temperatures"),
            false => ("steps", "numbers are steps a block"),
        };
        let place = |row: &Row| Some((row.reading.entropy, row.reading.perplexity?));
        let rules = self.report.reference.iter().map(|Reference { entropy, .. }| Rule {
            x: *entropy,
            label: "human text".to_owned(),
        });
        Figure {
            name: "frontier",
            title: format!("Temperature frontier; {what}"),
            x: Axis {
                title: "unigram entropy of a text (nats a token)".to_owned(),
                spread: Spread::Linear,
            },
            y: Axis {
                title: format!("perplexity under {judge}"),
                spread: Spread::Log,
            },
            series: self.series(along, &place, &|_| false),
            rules: rules.collect(),
        }
    }

    /// Perplexity relative to that at the most steps, beside published curves. `None` where no line has two points.
    fn degradation(&self, judge: &str) -> Option<Figure> {
        if !self.varied.contains(&"steps") {
            return None;
        }
        let rows = &self.report.rows;
        let others: Vec<&str> = self.varied.iter().copied().filter(|name| *name != "steps").collect();
        let mut series = Vec::new();
        for (name, members) in groups(rows, &others) {
            let members = sorted(members, rows, "steps");
            let judged: Vec<(usize, f64)> = members
                .into_iter()
                .filter_map(|row| Some((row, rows[row].reading.perplexity?)))
                .collect();
            let Some((most, full)) = judged.last().copied().filter(|_| judged.len() > 1) else {
                continue;
            };
            let mark = |(row, perplexity): &(usize, f64)| {
                let (entropy, reference) = (rows[*row].reading.entropy, rows[most].reading.entropy);
                Mark {
                    x: rows[*row].costs.nfe,
                    y: perplexity / full,
                    label: rows[*row].setting("steps").map(ToString::to_string),
                    title: rows[*row].label(&self.varied),
                    hollow: (entropy - reference).abs() > COMPARABLE,
                }
            };
            series.push(Series {
                name: if name.is_empty() { "this sweep".to_owned() } else { name },
                line: Line::Solid,
                muted: false,
                marks: judged.iter().map(mark).collect(),
            });
        }
        if series.is_empty() || series.len() > MOST {
            return None;
        }
        series.extend(PUBLISHED.iter().map(|curve| Series {
            name: curve.name.to_owned(),
            line: Line::Dashed,
            muted: false,
            marks: curve.ratios().map(plain).collect(),
        }));
        Some(Figure {
            name: "degradation",
            title: "Perplexity relative to that at the most steps; numbers are steps a block".to_owned(),
            x: Axis {
                title: "network passes a token".to_owned(),
                spread: Spread::Log,
            },
            y: Axis {
                title: format!("perplexity under {judge}, relative"),
                spread: Spread::Log,
            },
            series,
            rules: Vec::new(),
        })
    }
}

fn plain((x, y): (f64, f64)) -> Mark {
    Mark {
        x,
        y,
        label: None,
        title: String::new(),
        hollow: false,
    }
}

/// Rows in the order of a setting.
fn sorted(mut members: Vec<usize>, rows: &[Row], by: &str) -> Vec<usize> {
    let value = |row: usize| {
        rows[row]
            .setting(by)
            .and_then(crate::table::Value::number)
            .unwrap_or_default()
    };
    members.sort_by(|a, b| value(*a).total_cmp(&value(*b)));
    members
}
