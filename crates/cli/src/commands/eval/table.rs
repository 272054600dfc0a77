//! What was measured as tables for a reader.

use std::fmt::Write;

use drdiff_evaluation::recall::Side;
use drdiff_evaluation::texts::{ContextGain, Perplexity, Row};
use drdiff_model::Spent;

use super::Measured;
use crate::output::counted;

/// The tables of everything that was measured.
pub(super) fn of(measured: &Measured) -> String {
    let mut text = String::new();
    let hash = measured.model_hash.get(..12).unwrap_or_default();
    if !measured.bounds.is_empty() {
        let Measured { windows, window, .. } = measured;
        line(
            &mut text,
            format_args!(
                "model {hash}, {} of {window} tokens, upper bound\n",
                counted(*windows as u64, "window")
            ),
        );
        line(
            &mut text,
            format_args!(
                "{:>10}  {:>12}  {:>7}  {:>11}",
                "block size", "nats a token", "error", "bits a byte"
            ),
        );
        for bound in &measured.bounds {
            let [nats, error, bits] = [bound.nats, bound.error, bound.bits_per_byte].map(number);
            let size = bound.block_size;
            line(
                &mut text,
                format_args!("{size:>10}  {nats:>12}  {error:>7}  {bits:>11}"),
            );
        }
        if measured.bounds.iter().any(|bound| bound.error.is_nan()) {
            text.push_str("\nA single block has no error; more windows have one.\n");
        }
        if measured.bounds.iter().any(|bound| !bound.bits_per_byte.is_finite()) {
            text.push_str("\nThe windows hold no byte of text, so there are no bits a byte.\n");
        }
        parts(&mut text, measured);
    }
    if !measured.difficulty.is_empty() {
        line(
            &mut text,
            format_args!(
                "\nexperts of a position without a token in a routed layer\n\n{:>10}  {:>10}  {:>12}  {:>11}  {:>10}",
                "block size", "rare words", "common words", "first steps", "last steps"
            ),
        );
        for found in &measured.difficulty {
            let mean = |spent: Spent| match spent.rows {
                0 => "-".to_owned(),
                _ => format!("{:.3}", spent.experts),
            };
            let (size, rare, common) = (found.block_size, mean(found.rare), mean(found.common));
            let (first, last) = (mean(found.first), mean(found.last));
            line(
                &mut text,
                format_args!("{size:>10}  {rare:>10}  {common:>12}  {first:>11}  {last:>10}"),
            );
        }
    }
    if !measured.recall.is_empty() {
        if !text.is_empty() {
            text.push('\n');
        }
        recall(&mut text, measured);
    }
    if !measured.texts.is_empty() {
        let judge = measured.judge.as_deref().unwrap_or("none: nothing is ranked");
        if !text.is_empty() {
            text.push('\n');
        }
        line(&mut text, format_args!("tokens of model {hash}, judge {judge}\n"));
        for ranked in &measured.texts {
            describe(&mut text, &ranked.row, ranked.rank);
        }
    }
    text
}

/// The bounds of parts of the windows, if there are any.
fn parts(text: &mut String, measured: &Measured) {
    let Some(first) = measured.bounds.first().filter(|bound| !bound.parts.is_empty()) else {
        return;
    };
    let row = |cells: Vec<String>| cells.iter().map(|cell| format!("  {cell:>9}")).collect::<String>();
    let starts = row(first.parts.iter().map(|part| format!("from {}", part.from)).collect());
    line(
        text,
        format_args!(
            "\nnats a token by place in the window\n\n{:>10}  {:>9}{starts}",
            "block size", "whole"
        ),
    );
    for bound in &measured.bounds {
        let nats = row(bound.parts.iter().map(|part| number(part.nats)).collect());
        line(
            text,
            format_args!("{:>10}  {:>9}{nats}", bound.block_size, number(bound.nats)),
        );
    }
}

/// What was found in long texts.
fn recall(text: &mut String, measured: &Measured) {
    let hash = measured.model_hash.get(..12).unwrap_or_default();
    let samples = measured.recall.first().map_or(0, |found| found.samples);
    line(
        text,
        format_args!("model {hash}, numbers of 8 digits said once, {samples} questions a line\n"),
    );
    line(
        text,
        format_args!(
            "{:>9}  {:>5}  {:>5}  {:>6}  {:>6}  {:>9}",
            "bytes", "side", "depth", "right", "tokens", "retrieved"
        ),
    );
    let share = |count: usize, of: usize| 100.0 * count as f64 / of.max(1) as f64;
    for found in &measured.recall {
        let retrieved = found.retrieved.filter(|_| found.retrievable > 0).map_or_else(
            || "-".to_owned(),
            |count| format!("{:.0} %", share(count, found.retrievable)),
        );
        let (right, tokens) = (
            share(found.right, found.samples),
            share(found.right_tokens, found.tokens),
        );
        let side = match found.side {
            Side::Left => "left",
            Side::Right => "right",
        };
        let (length, depth) = (found.length, found.depth);
        line(
            text,
            format_args!("{length:>9}  {side:>5}  {depth:>5.2}  {right:>4.0} %  {tokens:>4.0} %  {retrieved:>9}"),
        );
    }
}

fn describe(text: &mut String, row: &Row, rank: Option<usize>) {
    let place = rank.map_or_else(String::new, |rank| format!(", rank {rank} among texts of like entropy"));
    line(
        text,
        format_args!("{}: {}{place}", row.name, counted(row.texts as u64, "text")),
    );
    if row.empty > 0 {
        line(
            text,
            format_args!("  not measured      {}", counted(row.empty as u64, "empty text")),
        );
    }
    if let Some(perplexity) = row.perplexity {
        let error = perplexity
            .log_error
            .map_or_else(String::new, |e| format!(" ± {:.1}", e * perplexity.value));
        line(text, format_args!("  perplexity        {:.1}{error}", perplexity.value));
    }
    if let Some(quarters) = &row.perplexity_by_quarter {
        let value = |quarter: &Option<Perplexity>| quarter.map_or_else(absent, |found| format!("{:.1}", found.value));
        let values: Vec<String> = quarters.iter().map(value).collect();
        let texts: Vec<usize> = quarters
            .iter()
            .map(|quarter| quarter.map_or(0, |found| found.texts))
            .collect();
        let of = of_some(&texts, row.texts);
        line(text, format_args!("  by quarter        {}{of}", values.join(" ")));
    }
    if row.perplexity.is_some() && row.prompt_unknown > 0 {
        let count = row.prompt_unknown;
        line(
            text,
            format_args!("  prompts           not known of {count}, which the judge read from nothing"),
        );
    }
    if let Some(gain) = &row.context_gain {
        gained(text, gain, row.texts);
    }
    grams(text, row);
    if let Some(bleu) = row.self_bleu {
        line(text, format_args!("  self-BLEU         {bleu:.3}"));
    }
    let [least, low, median, high, most] = row.lengths.quartiles;
    line(
        text,
        format_args!(
            "  tokens            {:.0} in the mean, quartiles {least:.0} {low:.0} {median:.0} {high:.0} {most:.0}",
            row.lengths.mean
        ),
    );
    if let Some(endings) = &row.endings {
        let shares = endings
            .shares
            .iter()
            .map(|(reason, share)| format!("{reason} {:.0} %", 100.0 * share));
        line(
            text,
            format_args!("  ended by          {}", shares.collect::<Vec<_>>().join(", ")),
        );
    }
    if let Some(memory) = &row.memorisation {
        let [eight, sixteen] = [memory.share_8, memory.share_16].map(percent);
        let of = of_some(&memory.texts, row.texts);
        line(
            text,
            format_args!(
                "  in training text  {eight} % of 8-grams, {sixteen} % of 16-grams{of}, longest run {} tokens",
                memory.longest_run
            ),
        );
    }
    if let Some(far) = row.distances {
        line(
            text,
            format_args!(
                "  Fréchet           {:.4} (human halves {:.4})",
                far.frechet, far.frechet_floor
            ),
        );
        line(
            text,
            format_args!(
                "  MAUVE on MiniLM   {:.3} (human halves {:.3})",
                far.mauve, far.mauve_ceiling
            ),
        );
    }
    if !row.malformed.is_empty() {
        line(text, format_args!("  malformed lines   {}", row.malformed.len()));
    }
}

/// What first halves are worth to second ones.
fn gained(text: &mut String, gain: &ContextGain, texts: usize) {
    let error = gain.error.map_or_else(String::new, |error| format!(" ± {error:.2}"));
    let (nats, copied) = (unsigned_zero(format!("{:.2}", gain.nats)), percent(Some(gain.copied_4)));
    let (half, of) = (gain.half, of_some(&[gain.texts], texts));
    line(
        text,
        format_args!(
            "  context gain      {nats}{error} nats a token, halves of {half:.0} tokens, {copied} % of 4-grams copied{of}"
        ),
    );
}

/// Entropy and the measures of n-grams, which texts have that are long enough.
fn grams(text: &mut String, row: &Row) {
    let counts = &row.counts;
    line(
        text,
        format_args!("  entropy           {:.3} nats a token", counts.entropy),
    );
    let distinct = counts.distinct.map(|share| share.map_or_else(absent, number));
    line(text, format_args!("  distinct 1 to 4   {}", distinct.join(" ")));
    let quarters = counts.repeated_4.by_quarter.map(percent);
    line(
        text,
        format_args!(
            "  repeated 4-grams  {} %, by quarter {} %",
            percent(counts.repeated_4.all),
            quarters.join(" ")
        ),
    );
    let of = of_some(&counts.distinct_texts, row.texts);
    let of_quarters = of_some(&counts.repeated_4.quarter_texts, row.texts);
    if !of.is_empty() || !of_quarters.is_empty() {
        // What is too short for an n-gram is in no mean of it.
        let [whole, quarters] = [counts.distinct_texts, counts.repeated_4.quarter_texts].map(|texts| spaced(&texts));
        line(
            text,
            format_args!(
                "  texts long enough {whole} for 1- to 4-grams, {quarters} for those by quarter, of {}",
                row.texts
            ),
        );
    }
}

/// Of how many texts figures are, where they are not of all.
fn of_some(texts: &[usize], all: usize) -> String {
    match texts.iter().all(|texts| *texts == all) {
        true => String::new(),
        false => format!(" (of {} texts)", spaced(texts)),
    }
}

fn spaced(numbers: &[usize]) -> String {
    let words: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    words.join(" ")
}

/// What stands in place of a figure that there is none of.
fn absent() -> String {
    "-".to_owned()
}

/// A number with three decimals; zero has no sign, and what is no number is absent.
fn number(value: f64) -> String {
    match value.is_finite() {
        true => unsigned_zero(format!("{value:.3}")),
        false => absent(),
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(absent, |share| unsigned_zero(format!("{:.1}", 100.0 * share)))
}

fn unsigned_zero(number: String) -> String {
    match number.strip_prefix('-') {
        Some(zero) if zero.chars().all(|digit| matches!(digit, '0' | '.')) => zero.to_owned(),
        _ => number,
    }
}

/// The sentence about texts whose prompts are not known, which a judge has read.
pub(super) fn of_unknown_prompts(row: &Row) -> String {
    format!(
        "{}: the prompts of {} of {} are not in their records, so the judge read these from nothing, and they have no rank beside \
         texts with prompts; give each line its prompt under \"prompt\", \"\" for none",
        row.name,
        row.prompt_unknown,
        counted(row.texts as u64, "text")
    )
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_has_no_sign_and_what_is_no_number_is_absent() {
        assert_eq!(
            [-0.0, -0.0001, -0.1, 2.0].map(number),
            ["0.000", "0.000", "-0.100", "2.000"]
        );
        assert_eq!([f64::NAN, f64::INFINITY].map(number), ["-", "-"]);
        assert_eq!([None, Some(-0.0), Some(0.25)].map(percent), ["-", "0.0", "25.0"]);
    }
}
