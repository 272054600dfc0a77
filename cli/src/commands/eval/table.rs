//! What was measured as tables for a reader.

use std::fmt::Write;

use drdiff_evaluation::recall::Side;
use drdiff_evaluation::texts::Row;
use drdiff_training::Spent;

use super::Measured;

/// The tables of everything that was measured.
pub(super) fn of(measured: &Measured) -> String {
    let mut text = String::new();
    let hash = measured.model_hash.get(..12).unwrap_or_default();
    if !measured.bounds.is_empty() {
        let Measured { windows, window, .. } = measured;
        line(
            &mut text,
            format_args!("model {hash}, {windows} windows of {window} tokens, upper bound\n"),
        );
        line(
            &mut text,
            format_args!(
                "{:>10}  {:>12}  {:>7}  {:>11}",
                "block size", "nats a token", "error", "bits a byte"
            ),
        );
        for bound in &measured.bounds {
            let (size, nats, error, bits) = (bound.block_size, bound.nats, bound.error, bound.bits_per_byte);
            line(
                &mut text,
                format_args!("{size:>10}  {nats:>12.3}  {error:>7.3}  {bits:>11.3}"),
            );
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
        let nats = row(bound.parts.iter().map(|part| format!("{:.3}", part.nats)).collect());
        line(
            text,
            format_args!("{:>10}  {:>9.3}{nats}", bound.block_size, bound.nats),
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
    line(text, format_args!("{}: {} texts{place}", row.name, row.texts));
    if let Some(perplexity) = row.perplexity {
        let error = perplexity
            .log_error
            .map_or_else(String::new, |e| format!(" ± {:.1}", e * perplexity.value));
        line(text, format_args!("  perplexity        {:.1}{error}", perplexity.value));
    }
    if let Some(quarters) = &row.perplexity_by_quarter {
        let values: Vec<String> = quarters.iter().map(|quarter| format!("{:.1}", quarter.value)).collect();
        line(text, format_args!("  by quarter        {}", values.join(" ")));
    }
    let counts = &row.counts;
    let [one, two, three, four] = counts.distinct;
    line(
        text,
        format_args!("  entropy           {:.3} nats a token", counts.entropy),
    );
    line(
        text,
        format_args!("  distinct 1 to 4   {one:.3} {two:.3} {three:.3} {four:.3}"),
    );
    let [a, b, c, d] = counts.repeated_4.by_quarter.map(|share| 100.0 * share);
    let all = 100.0 * counts.repeated_4.all;
    line(
        text,
        format_args!("  repeated 4-grams  {all:.1} %, by quarter {a:.1} {b:.1} {c:.1} {d:.1} %"),
    );
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
        let shares = (100.0 * memory.share_8, 100.0 * memory.share_16);
        line(
            text,
            format_args!(
                "  in training text  {:.1} % of 8-grams, {:.1} % of 16-grams, longest run {} tokens",
                shares.0, shares.1, memory.longest_run
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

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{what}");
}
