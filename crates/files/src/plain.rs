//! What in a text is no part of it: a byte order mark at its beginning, and line ends of other systems.

use std::borrow::Cow;

use crate::kind::MARK;

/// A text without the byte order mark that it may begin with, and with `\n` for each line end (`\r\n` and `\r` too). What
/// models learn from and what they go on from is made so.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    line_ends(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// A text with `\n` for each line end, which may be `\r\n` or `\r`.
#[must_use]
pub fn line_ends(text: &str) -> Cow<'_, str> {
    match text.contains('\r') {
        true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
        false => Cow::Borrowed(text),
    }
}

/// The bytes of a file without the byte order mark of UTF-8 that they may begin with.
#[must_use]
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mark_and_carriage_returns_are_no_text() {
        assert_eq!(plain("\u{feff}a\r\nb\rc\n\r\nd\u{feff}"), "a\nb\nc\n\nd\u{feff}");
        assert_eq!(plain("\u{feff}\u{feff}"), "\u{feff}");
        assert!(matches!(plain(" a\n"), Cow::Borrowed(" a\n")));
        assert_eq!(without_mark("\u{feff}{}".as_bytes()), b"{}");
        assert_eq!(without_mark(b"\xef\xbb"), b"\xef\xbb");
    }
}
