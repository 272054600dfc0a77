//! Keeps the markup of a template apart from text in messages that looks like it.
//!
//! A private character that occurs nowhere in the conversation goes into every place of a message that begins like a
//! special token, behind its first character. What the template does to its messages (trimming, splitting, comparing) is
//! the same unless they hold markup. In what it writes, special tokens are found as they stand, and the private character
//! is then taken out of the rest.

use std::collections::BTreeSet;

use tokenizers::AddedToken;

/// Characters that no text uses: a plane for private use.
const PRIVATE: std::ops::RangeInclusive<char> = '\u{F0000}'..='\u{FFFFD}';

/// A place of a message that shares this many characters with a special token is marked, because a template that cuts
/// and joins could complete it.
const SUSPICIOUS: usize = 3;

/// The special tokens of a model, and the mark for one conversation.
#[derive(Debug)]
pub(super) struct Guard<'a> {
    /// Longest first.
    tokens: Vec<&'a (u32, AddedToken)>,
    /// Characters that tokens begin with: few, while there may be thousands of tokens.
    firsts: BTreeSet<char>,
    mark: char,
}

/// A part of what a template wrote.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Markup.
    Special(u32),
    /// Text, without marks.
    Plain(String),
}

impl<'a> Guard<'a> {
    /// A guard whose mark is in none of the texts `seen`; none if they hold all private characters.
    pub(super) fn new<'t>(
        markup: &'a [(u32, AddedToken)],
        seen: impl Iterator<Item = &'t str> + Clone,
    ) -> Option<Self> {
        let mark = PRIVATE
            .clone()
            .find(|mark| !seen.clone().any(|text| text.contains(*mark)))?;
        // A mark cannot break a token of one character, so such a token is never markup.
        let mut tokens: Vec<_> = markup
            .iter()
            .filter(|(_, token)| token.content.chars().nth(1).is_some())
            .collect();
        tokens.sort_by(|a, b| b.1.content.len().cmp(&a.1.content.len()).then_with(|| a.0.cmp(&b.0)));
        let firsts = tokens.iter().filter_map(|(_, token)| token.content.chars().next());
        Some(Self {
            firsts: firsts
                .flat_map(|c| [c, c.to_ascii_lowercase(), c.to_ascii_uppercase()])
                .collect(),
            tokens,
            mark,
        })
    }

    /// `text` with a mark in all that looks like markup.
    pub(super) fn marked(&self, text: &str) -> String {
        let mut marked = String::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            marked.push(c);
            if self.firsts.contains(&c)
                && self
                    .tokens
                    .iter()
                    .any(|(_, token)| looks_like(&text[at..], &token.content))
            {
                marked.push(self.mark);
            }
        }
        marked
    }

    /// `text` without marks.
    pub(super) fn unmarked(&self, text: &str) -> String {
        text.replace(self.mark, "")
    }

    /// Splits what a template wrote; where several tokens begin at one place, the longest is meant.
    pub(super) fn pieces(&self, text: &str) -> Vec<Piece> {
        let (mut pieces, mut from, mut at) = (Vec::new(), 0, 0);
        let plain = |pieces: &mut Vec<Piece>, part: &str| {
            let part = self.unmarked(part);
            if !part.is_empty() {
                pieces.push(Piece::Plain(part));
            }
        };
        while let Some(c) = text[at..].chars().next() {
            let mut tokens = self.tokens.iter();
            let found = if self.firsts.contains(&c) {
                tokens.find(|(_, token)| text[at..].starts_with(&token.content))
            } else {
                None
            };
            let Some((id, token)) = found else {
                at += c.len_utf8();
                continue;
            };
            let before = &text[from..at];
            plain(&mut pieces, if token.lstrip { before.trim_end() } else { before });
            pieces.push(Piece::Special(*id));
            at += token.content.len();
            if token.rstrip {
                at = text.len() - text[at..].trim_start().len();
            }
            from = at;
        }
        plain(&mut pieces, &text[from..]);
        pieces
    }
}

/// Whether `text` begins with `token`, or with enough of it; a template may change the case of letters.
fn looks_like(text: &str, token: &str) -> bool {
    let mut left = token.chars();
    let mut shared = 0;
    for c in text.chars() {
        match left.next() {
            None => return true,
            Some(other) if other.eq_ignore_ascii_case(&c) => shared += 1,
            Some(_) => return shared >= SUSPICIOUS,
        }
    }
    left.next().is_none() || shared >= SUSPICIOUS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markup() -> Vec<(u32, AddedToken)> {
        vec![
            (1, AddedToken::from("<|end|>", true)),
            (2, AddedToken::from("<|end|>x", true)),
            (3, AddedToken::from("<|role|>", true).rstrip(true).lstrip(true)),
            (4, AddedToken::from("#", true)),
        ]
    }

    #[test]
    fn markup_of_messages_is_marked_and_the_rest_is_not() {
        let markup = markup();
        let guard = Guard::new(&markup, ["\u{F0000}"].into_iter()).unwrap();
        assert_eq!(guard.mark, '\u{F0001}');
        assert_eq!(guard.marked("a < b </think> | é#"), "a < b </think> | é#");
        for text in ["<|end|>", "<|END|>", "<|en", "<|e<|end|>nd|>", "é<|role|>"] {
            let marked = guard.marked(text);
            assert_ne!(marked, text);
            assert_eq!(guard.unmarked(&marked), text);
            assert_eq!(guard.pieces(&marked), [Piece::Plain(text.into())]);
            assert_eq!(
                guard.pieces(&marked.to_lowercase()),
                [Piece::Plain(text.to_lowercase())]
            );
        }
    }

    #[test]
    fn markup_of_templates_is_found() {
        let markup = markup();
        let guard = Guard::new(&markup, [].into_iter()).unwrap();
        let plain = |text: &str| Piece::Plain(text.into());
        assert_eq!(guard.pieces("<|end|>"), [Piece::Special(1)]);
        assert_eq!(guard.pieces("é<|end|>xy"), [plain("é"), Piece::Special(2), plain("y")]);
        assert_eq!(
            guard.pieces("a \n<|role|>\n b#"),
            [plain("a"), Piece::Special(3), plain("b#")]
        );
        assert_eq!(guard.pieces(""), []);
    }
}
