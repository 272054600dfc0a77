//! Context gain: what the first half of a text is worth to a judge that reads its second half.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::measure::Reading;
use super::read::TextSet;
use crate::metrics::copied_4;
use crate::{Judge, Result};

/// Tokens of a half at most, in the judge's vocabulary. The gain grows with the half, so texts of different lengths are
/// compared at this one.
const HALF: usize = 160;
/// Texts with shorter halves are left out.
const LEAST: usize = 16;

/// How much better a judge predicts the second halves of texts behind their own first halves than behind first halves of
/// other texts: sense over distance, which perplexity does not see. Texts of people gain; texts whose parts have nothing
/// to do with each other do not, and texts that copy themselves gain most, which is why the copied share stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ContextGain {
    /// Nats a token behind a stranger's first half, less those behind the own one; the mean over texts.
    pub nats: f64,
    /// Standard error of that mean; `None` of one text.
    pub error: Option<f64>,
    /// Share of the 4-grams of second halves that stand in the first ones; the mean over texts.
    pub copied_4: f64,
    /// Tokens of a half in the mean, in the judge's vocabulary: 160 where all texts have that many.
    pub half: f64,
    /// Texts that it is of: those with halves of at least 16 tokens, for which another text is as long.
    pub texts: usize,
}

/// Measures the context gain of a set of texts, without their prompts. The halves of a text are its first 160 tokens and the next
/// 160, or those of it where it is shorter. Its stranger is the next text in the order of the file, which begins anew at
/// its end, that has a half of this length and goes on from another prompt; if none does, of whatever prompt. `None` where no
/// text has a stranger.
///
/// # Errors
/// If the judge fails at a text.
pub fn context_gain(
    set: &TextSet,
    judge: &mut dyn Judge,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(usize, usize),
) -> Result<Reading<ContextGain>> {
    let texts = set.texts.iter().map(|text| judge.encode(&text.text));
    let texts = texts.collect::<Result<Vec<_>>>()?;
    let half_of = |index: usize| (texts[index].len() / 2).min(HALF).min(judge.context() / 2);
    let halves: Vec<usize> = (0..texts.len()).map(half_of).collect();
    let mut gains = Vec::new();
    for (index, (ids, &half)) in texts.iter().zip(&halves).enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Ok(Reading::Stopped);
        }
        tell(index, texts.len());
        let Some(stranger) = stranger(set, &halves, index).filter(|_| half >= LEAST) else {
            continue;
        };
        let (own, second) = ids[..2 * half].split_at(half);
        let behind_own = judge.nats(own, second)?;
        let behind_stranger = judge.nats(&texts[stranger][..half], second)?;
        gains.push(Gain {
            nats: (behind_stranger - behind_own) / half as f64,
            copied_4: copied_4(own, second).unwrap_or_default(),
            half: half as f64,
        });
    }
    Ok(Reading::Read(mean(&gains)))
}

/// That of one text.
struct Gain {
    nats: f64,
    copied_4: f64,
    half: f64,
}

fn mean(gains: &[Gain]) -> Option<ContextGain> {
    let count = gains.len() as f64;
    let of = |what: &dyn Fn(&Gain) -> f64| gains.iter().map(what).sum::<f64>() / count;
    let nats = of(&|gain| gain.nats);
    let squares: f64 = gains.iter().map(|gain| (gain.nats - nats).powi(2)).sum();
    (!gains.is_empty()).then(|| ContextGain {
        nats,
        error: (gains.len() > 1).then(|| (squares / (count - 1.0) / count).sqrt()),
        copied_4: of(&|gain| gain.copied_4),
        half: of(&|gain| gain.half),
        texts: gains.len(),
    })
}

/// The text whose first half is lent to the text at `index`.
fn stranger(set: &TextSet, halves: &[usize], index: usize) -> Option<usize> {
    let others = || {
        let all = (index + 1..halves.len()).chain(0..index);
        all.filter(|other| halves[*other] >= halves[index])
    };
    let prompt = |text: usize| &set.texts[text].prompt;
    let unlike = others().find(|other| prompt(*other) != prompt(index));
    unlike.or_else(|| others().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::Text;

    #[test]
    fn strangers_are_next_in_order_as_long_and_of_another_prompt() {
        let set = |prompts: &[&str]| TextSet {
            texts: prompts
                .iter()
                .map(|prompt| Text {
                    prompt: Some((*prompt).to_owned()),
                    ..Text::default()
                })
                .collect(),
            ..TextSet::default()
        };
        let of = |prompts: &[&str], halves: &[usize]| -> Vec<Option<usize>> {
            let set = set(prompts);
            (0..halves.len()).map(|index| stranger(&set, halves, index)).collect()
        };
        assert_eq!(of(&["a", "a", "b"], &[9, 9, 9]), [2, 2, 0].map(Some));
        assert_eq!(of(&["", "", ""], &[9, 5, 9]), [2, 2, 0].map(Some));
        assert_eq!(of(&["a", "b"], &[9, 5]), [None, Some(0)]);
        assert_eq!(of(&["a"], &[9]), [None]);
    }

    #[test]
    fn the_mean_and_its_error_by_hand() {
        let gain = |nats| Gain {
            nats,
            copied_4: 0.5,
            half: 20.0,
        };
        let found = mean(&[gain(1.0), gain(3.0)]).unwrap();
        assert_eq!((found.nats, found.error), (2.0, Some(1.0)));
        assert_eq!((found.copied_4, found.half, found.texts), (0.5, 20.0, 2));
        assert_eq!(mean(&[gain(1.0)]).unwrap().error, None);
        assert!(mean(&[]).is_none());
    }
}
