//! Numbers that are said and asked for, anywhere in a window.

use drdiff_data::{Needle, VALUE, spread};
use drdiff_noise::NoiseStream;

use super::{Exercise, Exercises};
use crate::{Error, Result};

/// A window of `bytes` bytes that says between `needles[0]` and `needles[1]` numbers, or as many as fill half of it, and
/// asks `questions` times for each, in any order: what is asked for may stand to either side, and all other numbers distract.
/// In each window all numbers have equally many keys that stand for others, up to `hops`.
pub(super) fn recall(stream: &mut NoiseStream, bytes: usize, said: &Exercises) -> Result<Exercise> {
    let ([least, most], questions) = (said.needles, said.questions);
    let count = least + stream.below(most - least + 1);
    let hops = match said.hops {
        0 => 0,
        most => stream.below(most + 1),
    };
    let needles = Needle::draw_many(stream, count, hops)?;
    let each = needles.iter().map(|needle| needle.answered().len()).max().unwrap_or(1);
    let count = count.min(bytes / 2 / (each * (1 + hops + questions))).max(1);
    let mut parts: Vec<(bool, String)> = Vec::with_capacity(count * (1 + hops + questions));
    for needle in &needles[..count] {
        parts.extend(needle.statements().into_iter().map(|said| (false, said)));
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
pub(super) fn check(bytes: usize, said: &Exercises) -> Result<()> {
    let ([least, most], questions, hops) = (said.needles, said.questions, said.hops);
    if least == 0 || most < least || questions == 0 {
        return Err(Error::Config(format!(
            "`exercises`: {least} to {most} needles with {questions} questions each; give at least 1 of both, the fewer needles first"
        )));
    }
    // A key has few letters: far more needles than that could not all have one of their own.
    const MOST: usize = 1000;
    if most.saturating_mul(hops.saturating_add(1)) > MOST {
        return Err(Error::Config(format!(
            "`exercises`: {most} needles with {hops} hops; give at most {MOST} keys in all"
        )));
    }
    let needed = questions.saturating_add(hops + 1).saturating_mul(2 * 16);
    if bytes < needed {
        return Err(Error::Config(format!(
            "`exercises` in windows of {bytes} tokens; with {questions} questions and {hops} hops a needle they need {needed}"
        )));
    }
    Ok(())
}
