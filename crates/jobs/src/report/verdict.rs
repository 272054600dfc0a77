//! What a sweep found, in a few sentences.

use drdiff_evaluation::{Band, COMPARABLE, TOLERANCE};

use super::row::{Row, varied};
use super::{Reference, Report};

/// The findings, one sentence each: the cheapest setting within 5 % of the best, what it is compared with, and what a
/// reader must know before believing it.
#[must_use]
pub fn verdict(report: &Report) -> Vec<String> {
    let bands = report.bands();
    let (Some(judge), Some(band)) = (&report.judge, bands.first()) else {
        return vec![
            "No judge read the texts, so no setting is called best. The plots show what can be measured without one: \
             entropy and repetition. Name a judge with --judge to have settings ranked; the texts are kept and not \
             written again."
                .to_owned(),
        ];
    };
    let names = varied(&report.rows);
    let mut found = vec![headline(report, band, &names, judge)];
    found.extend(faster(report, band, &names));
    if report.related {
        found.push(format!(
            "No judge was named, so {judge} read the texts one token at a time. It is a relative of the writer and finds likely what its like \
             would write: name an unrelated language model with --judge before relying on the ranking. The texts are kept and not written again."
        ));
    }
    found.push(rule(report, band));
    if bands.len() > 1 {
        found.push(format!(
            "{} of {} settings are further away in entropy and are not ranked with these; hollow points in the plots, \
             other groups in the table.",
            report.rows.len() - band.rows.len(),
            report.rows.len()
        ));
    }
    found.extend(doubt(report, band));
    found
}

fn headline(report: &Report, band: &Band, names: &[&str], judge: &str) -> String {
    let (best, cheapest) = (&report.rows[band.best], &report.rows[band.cheapest]);
    let perplexity = |row: &Row| row.reading.perplexity.unwrap_or(f64::NAN);
    let percent = 100.0 * TOLERANCE;
    let told = |row: &Row| match row.label(names) {
        label if label.is_empty() => "the only setting".to_owned(),
        label => label,
    };
    let cost = format!(
        "{} passes and {} operations a token",
        short(cheapest.costs.nfe),
        si(cheapest.costs.flops)
    );
    if band.best == band.cheapest {
        return format!(
            "The cheapest setting within {percent:.0} % of the best is the best itself: {}, with a perplexity of {:.2} \
             under {judge}, at {cost}.",
            told(best),
            perplexity(best)
        );
    }
    format!(
        "The cheapest setting within {percent:.0} % of the best is {}: a perplexity of {:.2} under {judge}, against \
         {:.2} for the best ({}), at {cost}, {:.2} times fewer operations.",
        told(cheapest),
        perplexity(cheapest),
        perplexity(best),
        told(best),
        best.costs.flops / cheapest.costs.flops
    )
}

/// A setting that is as good and took less time than the cheapest, for time is not operations.
fn faster(report: &Report, band: &Band, names: &[&str]) -> Option<String> {
    let rows = &report.rows;
    let limit = rows[band.best].reading.perplexity? * (1.0 + TOLERANCE);
    let good = band
        .rows
        .iter()
        .copied()
        .filter(|row| rows[*row].reading.perplexity.is_some_and(|p| p <= limit));
    let fastest = good.min_by(|a, b| rows[*a].costs.seconds.total_cmp(&rows[*b].costs.seconds))?;
    (fastest != band.cheapest).then(|| {
        format!(
            "By the clock, {} is the cheapest of these: {:.2} ms a token against {:.2}.",
            rows[fastest].label(names),
            1e3 * rows[fastest].costs.seconds,
            1e3 * rows[band.cheapest].costs.seconds
        )
    })
}

fn rule(report: &Report, band: &Band) -> String {
    let entropies = band.rows.iter().map(|row| report.rows[*row].reading.entropy);
    let (low, high) = entropies.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), e| {
        (low.min(e), high.max(e))
    });
    let why = match &report.reference {
        Some(Reference { name, entropy }) => {
            let away = if (low..=high).contains(entropy) {
                0.0
            } else {
                (entropy - low).abs().min((entropy - high).abs())
            };
            let far = if away > COMPARABLE {
                ", which is far from it"
            } else {
                ""
            };
            format!("the group around the setting that is nearest to human text ({name}: {entropy:.2} nats){far}")
        }
        None => "the largest group of like settings, for no human text was given to compare with".to_owned(),
    };
    format!(
        "Ranked are settings whose texts are at most {COMPARABLE} nats a token apart in entropy, since duller texts get \
         lower perplexities without being better: here {low:.2} to {high:.2} nats, {why}."
    )
}

/// Whether the difference could be chance.
fn doubt(report: &Report, band: &Band) -> Option<String> {
    let errors = band
        .rows
        .iter()
        .filter_map(|row| report.rows[*row].reading.perplexity_error);
    let error = errors.fold(f64::NAN, f64::max);
    let texts = report.rows[band.best].texts;
    // Without any error, the fold is NaN.
    if error.is_nan() || error <= 0.5 * TOLERANCE {
        return None;
    }
    Some(format!(
        "With {texts} texts for each setting, perplexities are known to about ± {:.0} % only (standard error over \
         texts; the same noise in every setting makes differences a little surer). Write more texts before relying on \
         a difference of {:.0} %.",
        100.0 * error,
        100.0 * TOLERANCE
    ))
}

/// A number with three digits.
pub(super) fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value:.0}");
    }
    let decimals = (2.0 - value.abs().log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A large number with three digits and a letter for its thousands.
pub(super) fn si(value: f64) -> String {
    let units = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let unit = units.into_iter().find(|(size, _)| value >= *size);
    unit.map_or_else(
        || short(value),
        |(size, letter)| format!("{} {letter}", short(value / size)),
    )
}
