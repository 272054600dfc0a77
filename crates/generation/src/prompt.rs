//! Text that is given, on its way to a task. Whoever has a text to go on from or to fill comes here, so that it means the
//! same at every door: it is cleaned as training text is (line ends, a byte order mark at the beginning), and spaces at the
//! end belong to what is written next, since tokens hold the space before a word. Tabs, no-break spaces and line ends
//! stay: they are tokens of their own in training text, too.

use std::borrow::Cow;
use std::ops::Deref;

use drdiff_data::Tokenizer;
use drdiff_files::plain;
use drdiff_model::Error as ModelError;

use crate::gaps::canvas;
use crate::{Error, Result, Task};

/// The tokens that a text goes on from, possibly none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Their ids.
    pub ids: Vec<u32>,
    /// The given text ends in a space that is not among them. It is the one before the first word that is written, so
    /// that the written text begins without it.
    pub space: bool,
}

impl From<Vec<u32>> for Prompt {
    fn from(ids: Vec<u32>) -> Self {
        Self { ids, space: false }
    }
}

impl Deref for Prompt {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.ids
    }
}

impl Prompt {
    /// The prompt that a text is; one of nothing but spaces is the same as none.
    ///
    /// # Errors
    /// [`Error::Nul`], or if the text cannot be encoded.
    pub fn new(text: &str, tokenizer: &Tokenizer) -> Result<Self> {
        let text = given(text)?;
        let (words, space) = spaces(&text);
        Ok(Self {
            ids: tokenizer.encode(words).map_err(ModelError::from)?,
            space,
        })
    }
}

impl Task {
    /// Text behind `prompt`.
    ///
    /// # Errors
    /// See [`Prompt::new`].
    pub fn behind(prompt: &str, tokenizer: &Tokenizer) -> Result<Self> {
        Prompt::new(prompt, tokenizer).map(Self::Continue)
    }

    /// The gaps of `text`, see [`GAP`](crate::GAP).
    ///
    /// # Errors
    /// [`Error::EmptyGap`], [`Error::NoGap`], [`Error::Nul`], or if the text cannot be encoded.
    pub fn within(text: &str, tokenizer: &Tokenizer) -> Result<Self> {
        canvas(&given(text)?, tokenizer).map(Self::Infill)
    }
}

/// A prompt as it is shown before what is written behind it: of several spaces at its end there is one.
#[must_use]
pub fn shown(prompt: &str) -> Cow<'_, str> {
    match spaces(prompt) {
        (words, true) if words.len() + 1 < prompt.len() => Cow::Owned(format!("{words} ")),
        _ => Cow::Borrowed(prompt),
    }
}

/// A prompt and the text behind it as a model reads them: cleaned, and with the space between them before the text's first
/// word, wherever it was written down.
#[must_use]
pub fn apart<'a>(prompt: &'a str, text: &'a str) -> (Cow<'a, str>, Cow<'a, str>) {
    let (prompt, text) = (plain(prompt), plain(text));
    match spaces(&prompt) {
        (words, true) if !text.is_empty() => {
            let text = format!(" {}", text.trim_start_matches(' '));
            (Cow::Owned(words.to_owned()), Cow::Owned(text))
        }
        _ => (prompt, text),
    }
}

/// A text without the spaces at its end, and whether there are any.
pub(crate) fn spaces(text: &str) -> (&str, bool) {
    let words = text.trim_end_matches(' ');
    (words, words.len() < text.len())
}

/// A text that somebody gave, cleaned.
fn given(text: &str) -> Result<Cow<'_, str>> {
    match text.contains('\0') {
        true => Err(Error::Nul),
        false => Ok(plain(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_spaces_at_the_end_are_left_to_what_is_written() {
        assert_eq!(spaces("The old house   "), ("The old house", true));
        assert_eq!(spaces("  "), ("", true));
        for text in ["", "The old house", "Once\n", "Once\n\n", "a\t", "a\u{a0}", " a"] {
            assert_eq!(spaces(text), (text, false));
        }
        assert_eq!(spaces("Once\n "), ("Once\n", true));
    }

    #[test]
    fn several_spaces_are_shown_as_one() {
        assert_eq!(shown("The old house   "), "The old house ");
        for text in ["The old house ", "The old house", "a\r\n", "", " "] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn a_text_that_is_read_holds_the_space_before_it() {
        let read = |prompt, text| {
            let (prompt, text) = apart(prompt, text);
            (prompt.into_owned(), text.into_owned())
        };
        let pair = |prompt: &str, text: &str| (prompt.to_owned(), text.to_owned());
        assert_eq!(read("The old house  ", "stood"), pair("The old house", " stood"));
        assert_eq!(read("The old house ", " stood"), pair("The old house", " stood"));
        assert_eq!(read("The old house", " stood"), pair("The old house", " stood"));
        assert_eq!(read("\u{feff}a\r\n", "b\r\nc"), pair("a\n", "b\nc"));
        assert_eq!(read("a ", ""), pair("a ", ""));
    }
}
