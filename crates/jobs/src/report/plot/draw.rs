//! A figure as SVG.

use std::fmt::Write;

use super::label::{Area, Room, width};
use super::scale::Scale;
use super::{Figure, Line, Mark, Series, escape};

const HEIGHT: f64 = 430.0;
/// Width of the part with the axes.
const PLOT: f64 = 640.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 22.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 58.0;
/// Widest legend, in pixels; longer names are cut.
const LEGEND: f64 = 250.0;
const FONT: f64 = 12.0;
const SMALL: f64 = 11.0;
/// Colours in [`STYLE`].
const COLOURS: usize = 8;

/// The look of all plots, in a page as in a file of its own. Colours that people with any colour vision can tell apart
/// (Okabe and Ito, 2008, darkened for white paper); a reader in dark mode gets light ones.
pub(crate) const STYLE: &str = "\
.plot{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;font-size:12px;fill:#1f2328}
.plot .title{font-size:14px;font-weight:600}
.plot .tick,.plot .word{font-size:11px;fill:#59636e}
.plot .frame{fill:none;stroke:#8c959f;stroke-width:1}
.plot .grid{stroke:#d8dee4;stroke-width:1}
.plot .rule{stroke:#59636e;stroke-width:1.2;stroke-dasharray:3 3}
.plot .line{fill:none;stroke-width:1.8;stroke-linejoin:round}
.plot .dash{stroke-dasharray:6 4}
.plot .mark{stroke-width:1.6}
.plot .c0{stroke:#0063a5;fill:#0063a5}.plot .c1{stroke:#c24e00;fill:#c24e00}
.plot .c2{stroke:#007a57;fill:#007a57}.plot .c3{stroke:#a8447f;fill:#a8447f}
.plot .c4{stroke:#8a6d00;fill:#8a6d00}.plot .c5{stroke:#5546b5;fill:#5546b5}
.plot .c6{stroke:#0a7f99;fill:#0a7f99}.plot .c7{stroke:#6b4a2b;fill:#6b4a2b}
.plot .muted{stroke:#8c959f;fill:#8c959f}
.plot .hollow{fill:#ffffff}.plot .line{fill:none}.plot .line.muted{stroke-width:7;stroke-opacity:.4}
@media (prefers-color-scheme: dark){
.plot{fill:#e6edf3}.plot .tick,.plot .word{fill:#9198a1}
.plot .frame{stroke:#656c76}.plot .grid{stroke:#2f353d}.plot .rule{stroke:#9198a1}
.plot .c0{stroke:#58b3f3;fill:#58b3f3}.plot .c1{stroke:#ff9a5a;fill:#ff9a5a}
.plot .c2{stroke:#3fd0a4;fill:#3fd0a4}.plot .c3{stroke:#f08ac8;fill:#f08ac8}
.plot .c4{stroke:#e3c34f;fill:#e3c34f}.plot .c5{stroke:#a99cff;fill:#a99cff}
.plot .c6{stroke:#4fd3ee;fill:#4fd3ee}.plot .c7{stroke:#d0a57d;fill:#d0a57d}
.plot .hollow{fill:#0d1117}.plot .line{fill:none}
}
";

impl Figure {
    /// The figure for a page that has the style of all plots; `None` if no point can be shown.
    #[must_use]
    pub(crate) fn inline(&self) -> Option<String> {
        let pixels = [LEFT, PLOT - RIGHT];
        let heights = [HEIGHT - BOTTOM, TOP];
        let marks = || self.series.iter().flat_map(|series| &series.marks);
        let xs = marks().map(|mark| mark.x).chain(self.rules.iter().map(|rule| rule.x));
        let x = Scale::around(xs, self.x.spread, pixels)?;
        let y = Scale::around(marks().map(|mark| mark.y), self.y.spread, heights)?;
        marks().find(|mark| x.at(mark.x).is_some() && y.at(mark.y).is_some())?;
        let mut svg = Svg {
            text: String::new(),
            x,
            y,
        };
        let legend = self.legend_width();
        let total = PLOT + legend;
        svg.open(total, &self.title);
        svg.axes(self);
        svg.body(self);
        if legend > 0.0 {
            svg.legend(self);
        }
        svg.text += "</svg>\n";
        Some(svg.text)
    }

    /// The figure as a file of its own.
    #[must_use]
    pub fn svg(&self) -> Option<String> {
        let style = format!("<style>\n{STYLE}</style>\n");
        let inline = self.inline()?;
        let (head, rest) = inline.split_once('\n')?;
        Some(format!("{head}\n{style}{rest}"))
    }

    fn legend_width(&self) -> f64 {
        if self.series.len() < 2 {
            return 0.0;
        }
        let widest = self
            .series
            .iter()
            .map(|series| width(&series.name, SMALL))
            .fold(0.0, f64::max);
        (widest + 46.0).min(LEGEND)
    }

    /// Class of the colour of a series. Muted ones take none away.
    fn colour(&self, index: usize) -> String {
        if self.series[index].muted {
            return "muted".to_owned();
        }
        let before = self.series[..index].iter().filter(|series| !series.muted).count();
        format!("c{}", before % COLOURS)
    }
}

struct Svg {
    text: String,
    x: Scale,
    y: Scale,
}

impl Svg {
    /// Adds a line. Writing to a string cannot fail.
    fn add(&mut self, line: std::fmt::Arguments<'_>) {
        let _never_fails = writeln!(self.text, "{line}");
    }

    fn open(&mut self, total: f64, title: &str) {
        self.add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 {total:.0} {HEIGHT:.0}\" \
             width=\"{total:.0}\" height=\"{HEIGHT:.0}\" role=\"img\">"
        ));
        let title = escape(title);
        self.add(format_args!("<title>{title}</title>"));
        self.add(format_args!(
            "<text class=\"title\" x=\"{LEFT}\" y=\"24\">{title}</text>"
        ));
    }

    fn axes(&mut self, figure: &Figure) {
        let (right, bottom) = (PLOT - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in self.x.ticks() {
            let Some(x) = self.x.at(value) else { continue };
            self.add(format_args!(
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
                 <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
                bottom + 17.0
            ));
        }
        for (value, text) in self.y.ticks() {
            let Some(y) = self.y.at(value) else { continue };
            self.add(format_args!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                LEFT - 8.0,
                y + 4.0
            ));
        }
        self.add(format_args!(
            "<rect class=\"frame\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{}\" height=\"{}\"/>",
            right - LEFT,
            bottom - TOP
        ));
        let middle = 0.5 * (LEFT + right);
        let x_title = escape(&figure.x.title);
        self.add(format_args!(
            "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x_title}</text>",
            HEIGHT - 16.0
        ));
        let (middle, y_title) = (0.5 * (TOP + bottom), escape(&figure.y.title));
        self.add(format_args!(
            "<text transform=\"translate(18 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">{y_title}</text>"
        ));
    }

    fn body(&mut self, figure: &Figure) {
        let inside = Area {
            left: LEFT,
            top: TOP,
            right: PLOT - RIGHT,
            bottom: HEIGHT - BOTTOM,
        };
        let points: Vec<(f64, f64)> = figure
            .series
            .iter()
            .filter(|series| !series.muted)
            .flat_map(|series| &series.marks)
            .filter_map(|mark| self.at(mark))
            .collect();
        let mut room = Room::new(inside, points.into_iter());
        for series in figure.series.iter().filter(|series| series.line != Line::None) {
            let places: Vec<(f64, f64)> = series.marks.iter().filter_map(|mark| self.at(mark)).collect();
            places.windows(2).for_each(|pair| room.take_line(pair[0], pair[1]));
        }
        for rule in &figure.rules {
            let Some(x) = self.x.at(rule.x) else { continue };
            let bottom = HEIGHT - BOTTOM;
            self.add(format_args!(
                "<line class=\"rule\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>"
            ));
            room.take(Area {
                left: x - 2.0,
                top: TOP,
                right: x + 2.0,
                bottom,
            });
            if let Some((left, base)) = room.place(&rule.label, SMALL, (x, TOP + 18.0)) {
                let label = escape(&rule.label);
                self.add(format_args!(
                    "<text class=\"word\" x=\"{left:.1}\" y=\"{base:.1}\">{label}</text>"
                ));
            }
        }
        for (index, series) in figure.series.iter().enumerate() {
            self.line(series, &figure.colour(index));
        }
        for (index, series) in figure.series.iter().enumerate() {
            let colour = figure.colour(index);
            for mark in series.marks.iter().filter(|_| !series.muted) {
                self.mark(mark, &colour, index);
            }
        }
        for mark in figure.series.iter().flat_map(|series| &series.marks) {
            let (Some(label), Some(place)) = (&mark.label, self.at(mark)) else {
                continue;
            };
            if let Some((left, base)) = room.place(label, SMALL, place) {
                let label = escape(label);
                self.add(format_args!(
                    "<text class=\"word\" x=\"{left:.1}\" y=\"{base:.1}\">{label}</text>"
                ));
            }
        }
    }

    fn at(&self, mark: &Mark) -> Option<(f64, f64)> {
        Some((self.x.at(mark.x)?, self.y.at(mark.y)?))
    }

    fn line(&mut self, series: &Series, colour: &str) {
        let dash = match series.line {
            Line::None => return,
            Line::Solid => "",
            Line::Dashed => " dash",
        };
        let points: Vec<String> = series
            .marks
            .iter()
            .filter_map(|mark| self.at(mark))
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        if points.len() > 1 {
            let points = points.join(" ");
            self.add(format_args!(
                "<polyline class=\"line {colour}{dash}\" points=\"{points}\"/>"
            ));
        }
    }

    fn mark(&mut self, mark: &Mark, colour: &str, shape: usize) {
        let Some((x, y)) = self.at(mark) else { return };
        let hollow = if mark.hollow { " hollow" } else { "" };
        let title = escape(&mark.title);
        let drawn = outline(shape, x, y);
        let (name, geometry) = drawn;
        self.add(format_args!(
            "<{name} class=\"mark {colour}{hollow}\" {geometry}><title>{title}</title></{name}>"
        ));
    }

    fn legend(&mut self, figure: &Figure) {
        let left = PLOT + 4.0;
        for (index, series) in figure.series.iter().enumerate() {
            let y = TOP + 10.0 + 22.0 * index as f64;
            let colour = figure.colour(index);
            let dash = if series.line == Line::Dashed { " dash" } else { "" };
            if series.line != Line::None {
                self.add(format_args!(
                    "<line class=\"line {colour}{dash}\" x1=\"{left}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/>",
                    left + 26.0
                ));
            }
            if !series.muted {
                let (name, geometry) = outline(index, left + 13.0, y);
                self.add(format_args!("<{name} class=\"mark {colour}\" {geometry}/>"));
            }
            let name = escape(&cut(&series.name, LEGEND - 46.0));
            self.add(format_args!(
                "<text class=\"word\" x=\"{}\" y=\"{}\">{name}</text>",
                left + 34.0,
                y + 0.33 * FONT
            ));
        }
    }
}

/// The marker of a series: its shape says which, so that colour is not all there is.
fn outline(shape: usize, x: f64, y: f64) -> (&'static str, String) {
    let path = |points: &[(f64, f64)]| {
        let points: Vec<String> = points
            .iter()
            .map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy))
            .collect();
        ("polygon", format!("points=\"{}\"", points.join(" ")))
    };
    match shape % 4 {
        0 => ("circle", format!("cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.8\"")),
        1 => path(&[(-3.6, -3.6), (3.6, -3.6), (3.6, 3.6), (-3.6, 3.6)]),
        2 => path(&[(0.0, -5.0), (4.8, 3.6), (-4.8, 3.6)]),
        _ => path(&[(0.0, -5.2), (5.2, 0.0), (0.0, 5.2), (-5.2, 0.0)]),
    }
}

/// A text that fits into `room` pixels.
fn cut(text: &str, room: f64) -> String {
    if width(text, SMALL) <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        if width(&kept, SMALL) + 2.0 * SMALL > room {
            break;
        }
        kept.push(c);
    }
    kept + "…"
}
