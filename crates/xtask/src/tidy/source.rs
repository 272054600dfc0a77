//! Just enough of Rust's lexical grammar to tell code from comments and strings.

/// A Rust file with the text that is not code replaced by blanks; lines keep their numbers.
pub(super) struct Source {
    /// Without comments and without the contents of strings and characters.
    code: String,
    /// Without comments only: `feature = "cuda"` is still there.
    with_strings: String,
    test_start: usize,
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        let (code, with_strings) = blank(text);
        // By convention the unit tests are the last item of a file.
        let test_start = code
            .lines()
            .position(|line| line.trim_start().starts_with("#[cfg(test)]"))
            .map_or(usize::MAX, |index| index + 1);
        Self {
            code,
            with_strings,
            test_start,
        }
    }

    /// Numbered lines (from 1) of code.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        numbered(&self.code)
    }

    /// Numbered lines (from 1) of code with its strings.
    pub(super) fn code_with_strings(&self) -> impl Iterator<Item = (usize, &str)> {
        numbered(&self.with_strings)
    }

    /// Whether a line belongs to the unit tests at the end of the file.
    pub(super) fn in_tests(&self, line: usize) -> bool {
        line >= self.test_start
    }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// Whether `line` holds `word` with no identifier character on either side.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word)
        .any(|(at, _)| !inside(line[..at].chars().next_back()) && !inside(line[at + word.len()..].chars().next()))
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// Returns the text without comments and literals, and the text without comments.
fn blank(text: &str) -> (String, String) {
    let mut code = String::with_capacity(text.len());
    let mut with_strings = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        // An identifier is taken whole: the `r` in `for"` must not be read as a raw string's prefix.
        let (kind, length) = if let Some(length) = literal(rest) {
            (Kind::Literal, length)
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            (Kind::Code, end.unwrap_or(rest.len()))
        } else {
            comment(rest).map_or((Kind::Code, first.len_utf8()), |length| (Kind::Comment, length))
        };
        let (piece, tail) = rest.split_at(length);
        for c in piece.chars() {
            let blank = if c == '\n' { '\n' } else { ' ' };
            code.push(if kind == Kind::Code { c } else { blank });
            with_strings.push(if kind == Kind::Comment { blank } else { c });
        }
        rest = tail;
    }
    (code, with_strings)
}

/// Length of the comment that `text` starts with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(text.len())
}

/// Length of the string or character literal, prefix included, that `text` starts with.
fn literal(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| {
            let rest = if prefix.ends_with('r') {
                rest.trim_start_matches('#')
            } else {
                rest
            };
            rest.starts_with('"') || (matches!(*prefix, "" | "b") && rest.starts_with('\''))
        })
    })?;
    let body = &text[prefix.len()..];
    let length = if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let close = format!("\"{}", "#".repeat(hashes));
        let open = hashes + 1;
        body[open..]
            .find(&close)
            .map_or(body.len(), |at| open + at + close.len())
    } else if body.starts_with('"') {
        escaped_end(body, '"')
    } else {
        // `'a` is a lifetime unless a quote follows the one character.
        let mut chars = body.chars().skip(1);
        let first = chars.next()?;
        if first != '\\' && chars.next() != Some('\'') {
            return None;
        }
        escaped_end(body, '\'')
    };
    Some(prefix.len() + length)
}

/// Length of a literal that opens and closes with `quote` and escapes with a backslash.
fn escaped_end(body: &str, quote: char) -> usize {
    let mut chars = body.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return at + 1;
        }
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        blank(text).0
    }

    #[test]
    fn comments_are_blanked_and_lines_stay() {
        assert_eq!(code("a // b\nc /* d /* e */\nf */ g"), "a     \nc             \n     g");
    }

    #[test]
    fn strings_are_blanked_in_one_view_and_kept_in_the_other() {
        let text = r##"x("a\"b // c", r#"d"e"#, b"f", '"', '\'', y)"##;
        let (code, with_strings) = blank(text);
        assert_eq!(code.split_whitespace().collect::<String>(), "x(,,,,,y)");
        assert_eq!(with_strings, text);
    }

    #[test]
    fn lifetimes_are_code() {
        assert_eq!(code("fn f<'a>(x: &'a str)"), "fn f<'a>(x: &'a str)");
    }

    #[test]
    fn an_identifier_before_a_quote_is_no_prefix() {
        assert_eq!(code(r#"for"x"y"#), "for   y");
    }

    #[test]
    fn text_beyond_ascii_and_unfinished_literals_are_survived() {
        assert_eq!(code("é \"ü"), "é   ");
        assert_eq!(code("/* é"), "    ");
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("x = unsafe { y }", "unsafe"));
        assert!(!has_word("unsafe_code", "unsafe"));
        assert!(!has_word("not_unsafe", "unsafe"));
    }

    #[test]
    fn unit_tests_are_found() {
        let source = Source::new("fn a() {}\n#[cfg(test)]\nmod tests {}\n");
        assert!(!source.in_tests(1) && source.in_tests(2) && source.in_tests(3));
    }
}
