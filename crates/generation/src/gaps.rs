//! Text with gaps, for infilling.

use drdiff_data::Tokenizer;
use drdiff_model::Error as ModelError;

use crate::prompt::spaces;
use crate::request::LONGEST;
use crate::{Error, Result};

/// Tokens of a gap that names no length.
pub const GAP: usize = 12;

/// A text that is part given, part to be written.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Gap(usize),
}

/// The canvas of a text: given tokens, and `None` for each token of a gap, written `[[8]]`, or `[[]]` or `[[…]]` for
/// [`GAP`] tokens. What looks like a gap and is none
/// (`[[a link]]`) stays text. Spaces before a gap belong to it, as those at the end of a prompt do to what comes behind it.
///
/// # Errors
/// [`Error::EmptyGap`], [`Error::NoGap`], [`Error::Length`] if the gaps are longer than any text, or if the text cannot be encoded.
pub(crate) fn canvas(text: &str, tokenizer: &Tokenizer) -> Result<Vec<Option<u32>>> {
    let mut canvas = Vec::new();
    let pieces = pieces(text);
    let gaps = pieces.iter().map(|piece| match piece {
        Piece::Gap(len) => *len,
        Piece::Text(_) => 0,
    });
    // Not even their memory is asked for.
    let open = gaps.fold(0, usize::saturating_add);
    if open > LONGEST {
        return Err(Error::Length {
            what: "gaps",
            asked: open,
            problem: format!("tokens together are longer than the limit of {LONGEST}"),
            remedy: "make them shorter, or fill them part by part".to_owned(),
        });
    }
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Gap(0) => return Err(Error::EmptyGap),
            Piece::Gap(len) => canvas.resize(canvas.len() + len, None),
            Piece::Text(text) => {
                let before_gap = matches!(pieces.get(index + 1), Some(Piece::Gap(_)));
                let text = if before_gap { spaces(text).0 } else { text };
                canvas.extend(tokenizer.encode(text).map_err(ModelError::from)?.into_iter().map(Some));
            }
        }
    }
    if canvas.iter().all(Option::is_some) {
        return Err(Error::NoGap);
    }
    Ok(canvas)
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut start, mut from) = (0, 0);
    while let Some(open) = text[from..].find("[[").map(|at| from + at) {
        let inside = &text[open + 2..];
        match inside
            .find("]]")
            .and_then(|close| Some((close, length(&inside[..close])?)))
        {
            Some((close, len)) => {
                if open > start {
                    pieces.push(Piece::Text(&text[start..open]));
                }
                pieces.push(Piece::Gap(len));
                start = open + close + 4;
                from = start;
            }
            None => from = open + 1,
        }
    }
    if start < text.len() {
        pieces.push(Piece::Text(&text[start..]));
    }
    pieces
}

/// The length that stands between the brackets of a gap. Nobody means a gap beyond a million tokens.
fn length(inside: &str) -> Option<usize> {
    const LONGEST: usize = 1_000_000;
    match inside.trim() {
        "" | "…" | "..." => Some(GAP),
        number => number.parse().ok().filter(|len| *len <= LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::Piece::{Gap, Text};
    use super::*;

    #[test]
    fn gaps_are_found_and_other_brackets_stay() {
        assert_eq!(pieces("a [[3]] b"), [Text("a "), Gap(3), Text(" b")]);
        assert_eq!(pieces("[[…]][[]][[ ... ]]"), [Gap(GAP), Gap(GAP), Gap(GAP)]);
        assert_eq!(pieces("see [[x]] [[[4]]"), [Text("see [[x]] ["), Gap(4)]);
        assert_eq!(pieces("open [[5"), [Text("open [[5")]);
        assert_eq!(pieces(""), []);
    }
}
