//! Numbers that are said and asked for, anywhere in a window.

use drdiff_kernels::NoiseStream;

use super::Exercise;
use crate::data::{Needle, VALUE, spread};
use crate::{Error, Result};

/// A window of `bytes` bytes that says between `needles[0]` and `needles[1]` numbers, or as many as fill half of it, and
/// asks `questions` times for each, in any order: what is asked for may stand to either side, and all other numbers distract.
pub(super) fn recall(
    stream: &mut NoiseStream,
    bytes: usize,
    [least, most]: [usize; 2],
    questions: usize,
) -> Result<Exercise> {
    let count = least + stream.below(most - least + 1);
    let needles = Needle::draw_many(stream, count);
    let each = needles.iter().map(|needle| needle.answered().len()).max().unwrap_or(1);
    let count = count.min(bytes / 2 / (each * (1 + questions))).max(1);
    let mut parts: Vec<(bool, String)> = Vec::with_capacity(count * (1 + questions));
    for needle in &needles[..count] {
        parts.push((false, needle.statement()));
        parts.extend(std::iter::repeat_n((true, needle.answered()), questions));
    }
    stream.shuffle(&mut parts);
    let (asks, parts): (Vec<bool>, Vec<String>) = parts.into_iter().unzip();
    let (text, places) = spread(stream, &parts, bytes)?;
    let mut open = Vec::with_capacity(count * questions * VALUE);
    for ((asks, part), place) in asks.into_iter().zip(&parts).zip(places) {
        if asks {
            // A semicolon ends the part.
            let first = place + part.len() - 1 - VALUE;
            open.extend(hidden(stream).map(|digit| first + digit));
        }
    }
    Ok(Exercise { text, open })
}

/// The digits of an answer that are asked for: mostly all, as when it is written at once, and else some of them, as when it is
/// written in steps.
fn hidden(stream: &mut NoiseStream) -> impl Iterator<Item = usize> {
    const ALL: f64 = 0.75;
    let bits = match stream.uniform() < ALL {
        true => usize::MAX,
        false => 1 + stream.below((1 << VALUE) - 1),
    };
    (0..VALUE).filter(move |digit| bits >> digit & 1 == 1)
}

/// Whether windows of `bytes` bytes can say and ask for one number.
pub(super) fn check(bytes: usize, [least, most]: [usize; 2], questions: usize) -> Result<()> {
    if least == 0 || most < least || questions == 0 {
        return Err(Error::Config(format!(
            "`exercises`: {least} to {most} needles with {questions} questions each; give at least 1 of both, the fewer needles first"
        )));
    }
    // A key has few letters: far more needles than that could not all have one of their own.
    const MOST: usize = 1000;
    if most > MOST {
        return Err(Error::Config(format!(
            "`exercises`: {most} needles; give at most {MOST}"
        )));
    }
    let needed = 2 * (1 + questions) * 16;
    if bytes < needed {
        return Err(Error::Config(format!(
            "`exercises` in windows of {bytes} tokens; with {questions} questions a needle they need {needed}"
        )));
    }
    Ok(())
}
