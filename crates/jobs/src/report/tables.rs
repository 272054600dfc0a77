//! The table of a report, and what was not run.

use std::fmt::Write;

use drdiff_evaluation::Band;

use super::Report;
use super::plot::escape;
use super::row::{Row, varied};
use super::verdict::{short, si};
use crate::sweep::short as short_name;

/// All rows with costs and measures, group by group; entropy, distinct and repeated stand beside every perplexity.
pub(super) fn results(report: &Report, bands: &[Band]) -> String {
    let names = varied(&report.rows);
    let judged = report.judge.is_some();
    let mut html = String::from("<div class=\"wide\"><table>\n<thead><tr>");
    let settings = names.iter().map(|name| short_name(name));
    let measures = ["passes / token", "passes / text", "ms / token", "operations / token"];
    let reading = ["entropy", "distinct-2", "repeated 4-grams", "texts"];
    let perplexity = judged.then_some("perplexity");
    let far = report.features.is_some();
    let distances = if far {
        &["Fréchet (human)", "MAUVE (human)"][..]
    } else {
        &[]
    };
    for name in settings
        .chain(measures)
        .chain(perplexity)
        .chain(reading)
        .chain(distances.iter().copied())
        .chain(judged.then_some(""))
    {
        add(&mut html, format_args!("<th>{}</th>", escape(name)));
    }
    html += "</tr></thead>\n";
    if bands.is_empty() {
        html += "<tbody>\n";
        (0..report.rows.len()).for_each(|row| line(&mut html, report, row, &names, None));
        html += "</tbody>\n";
    }
    for (number, band) in bands.iter().enumerate() {
        html += "<tbody>\n";
        if bands.len() > 1 {
            let entropy = |place: Option<&usize>| place.map_or(f64::NAN, |row| report.rows[*row].reading.entropy);
            let main = if number == 0 { ", the one spoken of above" } else { "" };
            add(
                &mut html,
                format_args!(
                    "<tr class=\"group\"><th colspan=\"{}\">Group {}{main}: entropy {:.2} to {:.2}</th></tr>\n",
                    names.len() + 10 + distances.len(),
                    number + 1,
                    entropy(band.rows.first()),
                    entropy(band.rows.last())
                ),
            );
        }
        let mut rows = band.rows.clone();
        rows.sort_unstable();
        rows.into_iter()
            .for_each(|row| line(&mut html, report, row, &names, Some((band, number == 0))));
        html += "</tbody>\n";
    }
    html + "</table></div>\n"
}

fn line(html: &mut String, report: &Report, index: usize, names: &[&str], band: Option<(&Band, bool)>) {
    let row = &report.rows[index];
    let chosen = band.is_some_and(|(band, is_main)| is_main && band.cheapest == index);
    *html += if chosen { "<tr class=\"chosen\">" } else { "<tr>" };
    for name in names {
        let value = row.setting(name).map(ToString::to_string).unwrap_or_default();
        let value = if value.is_empty() { "–" } else { &value };
        add(html, format_args!("<td>{}</td>", escape(value)));
    }
    let costs = row.costs;
    let passes = costs.nfe * row.tokens as f64 / row.texts.max(1) as f64;
    let numbers = [
        short(costs.nfe),
        short(passes),
        short(1e3 * costs.seconds),
        si(costs.flops),
    ];
    numbers
        .iter()
        .for_each(|number| add(html, format_args!("<td class=\"n\">{number}</td>")));
    if report.judge.is_some() {
        add(html, format_args!("<td class=\"n\">{}</td>", perplexity(row)));
    }
    let reading = row.reading;
    add(
        html,
        format_args!(
            "<td class=\"n\">{:.2}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>",
            reading.entropy,
            of_some(
                reading.distinct.map(|share| format!("{share:.3}")),
                reading.with_grams[0],
                row.texts
            ),
            of_some(
                reading.repeated.map(|share| format!("{:.1} %", 100.0 * share)),
                reading.with_grams[1],
                row.texts
            ),
            row.texts
        ),
    );
    if report.features.is_some() {
        let [frechet, mauve] = match reading.distances {
            Some(d) => [[d.frechet, d.frechet_floor], [d.mauve, d.mauve_ceiling]]
                .map(|[own, human]| format!("{own:.3} ({human:.3})")),
            None => ["–", "–"].map(str::to_owned),
        };
        add(
            html,
            format_args!("<td class=\"n\">{frechet}</td><td class=\"n\">{mauve}</td>"),
        );
    }
    if let Some((band, _)) = band {
        let words = [
            (band.cheapest == index).then_some("cheapest within 5 %"),
            (band.best == index).then_some("best"),
            band.front.contains(&index).then_some("Pareto"),
        ];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        add(html, format_args!("<td>{}</td>", words.join(", ")));
    }
    *html += "</tr>\n";
}

/// A mean, and of how many texts it is where that is not all of them.
fn of_some(mean: Option<String>, texts: usize, all: usize) -> String {
    match mean {
        None => "–".to_owned(),
        Some(mean) if texts < all => format!("{mean} (of {texts})"),
        Some(mean) => mean,
    }
}

fn perplexity(row: &Row) -> String {
    let Some(perplexity) = row.reading.perplexity else {
        return "–".to_owned();
    };
    match row.reading.perplexity_error {
        Some(error) => format!("{perplexity:.2} ± {:.2}", perplexity * error),
        None => format!("{perplexity:.2}"),
    }
}

/// Combinations that were not run, and why.
pub(super) fn left_out(report: &Report) -> String {
    if report.left_out.is_empty() {
        return String::new();
    }
    let mut html = format!(
        "<details><summary>Not run ({})</summary>\n<ul>\n",
        report.left_out.len()
    );
    for left_out in &report.left_out {
        let (what, reason) = (escape(&left_out.what), escape(&left_out.reason));
        add(&mut html, format_args!("<li>{what}: {reason}</li>\n"));
    }
    html + "</ul>\n</details>\n"
}

/// Names and values, side by side.
pub(super) fn facts(facts: &[(String, String)]) -> String {
    let mut html = String::from("<table class=\"facts\">\n");
    for (name, value) in facts {
        add(
            &mut html,
            format_args!("<tr><th>{}</th><td>{}</td></tr>\n", escape(name), escape(value)),
        );
    }
    html + "</table>\n"
}

/// Writing to a string cannot fail.
fn add(html: &mut String, text: std::fmt::Arguments<'_>) {
    let _never_fails = html.write_fmt(text);
}
