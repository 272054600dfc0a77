//! How the records of a text lie: a line each, or in another way that no reader of lines can use.

use std::borrow::Cow;
use std::io::{self, BufRead};
use std::path::Path;

use serde::de::IgnoredAny;

use crate::{Error, Line, Lines, Result};

/// Lines that are looked at most, blank ones not counted. So many lines that continue one piece of JSON are no accident.
const LOOK: usize = 8;

/// How the records of a text lie, told from its first lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Lines of plain text.
    Plain,
    /// A JSON object a line.
    Json,
    /// One JSON array around all records.
    Array {
        /// Its first element is a string.
        strings: bool,
    },
    /// A JSON object that spreads over several lines.
    Spread,
    /// A table whose first line names its columns.
    Table,
}

/// What a text is as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Json {
    Whole,
    /// So far; it goes on.
    Open,
    Broken,
}

impl Layout {
    /// Tells the layout from the first lines, of which none is taken away. The first that is not blank decides, as soon as
    /// it is there; only where it is a piece of JSON, or looks like one, those behind it count as well.
    ///
    /// # Errors
    /// If reading fails.
    pub fn of<R: BufRead>(lines: &mut Lines<R>) -> io::Result<Self> {
        let Some(first) = nth(lines, 0)? else {
            return Ok(Self::Plain);
        };
        match first.as_bytes().first() {
            Some(b'{') => object(lines, &first),
            Some(b'[') => array(lines, &first),
            _ if is_header(&first) => Ok(Self::Table),
            _ => Ok(Self::Plain),
        }
    }

    /// Refuses what has not a record a line; `path` is for the message, where `-` stands for stdin.
    ///
    /// # Errors
    /// [`Error::Foreign`] for anything but [`Layout::Plain`] and [`Layout::Json`].
    pub fn check(self, path: &Path) -> Result<()> {
        let (what, remedy) = match self {
            Self::Plain | Self::Json => return Ok(()),
            Self::Array { strings: false } => (
                "one JSON array, and records are read line by line",
                "make a line of each with `jq -c .[]`",
            ),
            Self::Array { strings: true } => (
                "one JSON array of strings, and records are read line by line",
                "make a line of each with `jq -c '.[] | {prompt: .}'`, under the key that is wanted",
            ),
            Self::Spread => (
                "JSON whose objects spread over several lines, and records are read line by line",
                "make a line of each with `jq -c .`",
            ),
            Self::Table => (
                "a table, and records are read as JSON lines",
                "make a JSON object of each row, for example with `mlr --icsv --ojsonl cat`",
            ),
        };
        Err(Error::foreign(path, what, remedy))
    }
}

impl<R: BufRead> Lines<R> {
    /// The first of the first lines for which `wanted` answers something; none of them is taken away.
    ///
    /// # Errors
    /// If reading fails.
    pub fn find_ahead<T>(&mut self, mut wanted: impl FnMut(&str) -> Option<T>) -> io::Result<Option<T>> {
        for index in 0..LOOK {
            let Some(line) = nth(self, index)? else { break };
            if let Some(found) = wanted(&line) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// A text that begins with `{`.
fn object<R: BufRead>(lines: &mut Lines<R>, first: &str) -> io::Result<Layout> {
    match json(first) {
        Json::Whole => return Ok(Layout::Json),
        Json::Open => {
            let (state, seen) = follow(lines, first)?;
            let spreads = state != Json::Broken && seen.contains('\n');
            // A line of its own behind a torn one says that each line is an object.
            if spreads || (seen.contains('"') && seen.contains('\n') && !has_object(lines)?) {
                return Ok(Layout::Spread);
            }
        }
        Json::Broken => {}
    }
    let inside = first[1..].trim_start();
    let looks = inside.is_empty() || inside.starts_with(['"', '}']);
    Ok(if looks || has_object(lines)? {
        Layout::Json
    } else {
        Layout::Plain
    })
}

/// A text that begins with `[`.
fn array<R: BufRead>(lines: &mut Lines<R>, first: &str) -> io::Result<Layout> {
    let (state, seen) = match json(first) {
        Json::Open => follow(lines, first)?,
        state => (state, Cow::Borrowed(first)),
    };
    let inside = seen[1..].trim_start();
    let told = Layout::Array {
        strings: inside.starts_with('"'),
    };
    let holds_records = seen.contains(['"', '{']);
    let is_array = match state {
        // Numbers in brackets, such as a footnote's, may stand before text.
        Json::Whole | Json::Open => holds_records || nth(lines, 1)?.is_none(),
        // Broken behind its first lines, or at once where no prose begins so.
        Json::Broken if seen.contains('\n') => holds_records,
        Json::Broken => inside
            .strip_prefix('{')
            .is_some_and(|rest| rest.trim_start().starts_with('"')),
    };
    Ok(if is_array { told } else { Layout::Plain })
}

/// Follows a piece of JSON that `first` leaves open, line by line; gives what it is in the end, and the lines of it that are
/// JSON.
fn follow<'a, R: BufRead>(lines: &mut Lines<R>, first: &'a str) -> io::Result<(Json, Cow<'a, str>)> {
    let mut seen = Cow::Borrowed(first);
    for index in 1..LOOK {
        let Some(line) = nth(lines, index)? else { break };
        let more = format!("{seen}\n{line}");
        match json(&more) {
            Json::Open => seen = Cow::Owned(more),
            Json::Whole => return Ok((Json::Whole, Cow::Owned(more))),
            // What was open before this line was JSON so far.
            Json::Broken => return Ok((Json::Broken, seen)),
        }
    }
    Ok((Json::Open, seen))
}

fn json(text: &str) -> Json {
    // The line's end closes no string: JSON has none with a line end in it.
    match serde_json::from_str::<IgnoredAny>(&format!("{text}\n")) {
        Ok(_) => Json::Whole,
        Err(error) if error.is_eof() => Json::Open,
        Err(_) => Json::Broken,
    }
}

/// Whether one of the first lines is a JSON object.
fn has_object<R: BufRead>(lines: &mut Lines<R>) -> io::Result<bool> {
    let is_object = |line: &str| (line.starts_with('{') && json(line) == Json::Whole).then_some(());
    Ok(lines.find_ahead(is_object)?.is_some())
}

/// The `index`-th readable line that is not blank, without white space around it.
fn nth<R: BufRead>(lines: &mut Lines<R>, index: usize) -> io::Result<Option<String>> {
    let (mut place, mut found) = (0, 0);
    while let Some(line) = lines.ahead(place)? {
        if let Line { content: Ok(text), .. } = line
            && !line.is_blank()
        {
            if found == index {
                return Ok(Some(text.trim().to_owned()));
            }
            found += 1;
        }
        place += 1;
    }
    Ok(None)
}

/// Whether a line names the columns of a table of requests.
fn is_header(line: &str) -> bool {
    let split = |sign: char| line.split(sign).map(|name| name.trim_matches('"')).collect::<Vec<_>>();
    let is_name = |name: &str| {
        let mut signs = name.chars();
        !name.is_empty() && signs.all(|sign| sign.is_alphanumeric() || sign == '_')
    };
    let names = [',', ';', '\t'].map(split);
    let mut tables = names
        .iter()
        .filter(|names| names.len() > 1 && names.iter().all(|name| is_name(name)));
    tables.any(|names| {
        names
            .iter()
            .any(|name| ["prompt", "infill", "custom_id", "text"].contains(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Layout {
        Layout::of(&mut Lines::new(text.as_bytes())).unwrap()
    }

    const ARRAY: Layout = Layout::Array { strings: false };

    #[test]
    fn a_record_a_line_is_read() {
        for text in [
            "\n{\"prompt\": \"a\"}\n",
            "{\"prompt\": \"a\"",
            "{\"prompt\": \"a\n{\"prompt\": \"b\"}\n",
            "{\"prompt\": \"a\",\n{\"prompt\": \"b\"}\n",
            "{\"prompt\":\n{\"prompt\": \"b\"}\n{\"prompt\": \"c\"}\n",
            "{broken\n{\"custom_id\": \"a\"}\n",
            "{}\n[1]\n",
        ] {
            assert_eq!(told(text), Layout::Json, "{text}");
        }
    }

    #[test]
    fn arrays_and_objects_over_lines_are_told_in_every_layout() {
        for text in [
            "[{\"prompt\": \"a\"}]",
            "[\n  {\"prompt\": \"a\"},\n  {\"prompt\": \"b\"}\n]\n",
            "[\n  {\n    \"prompt\": \"a\"\n  }\n]\n",
            "\n[{\"prompt\": \"a\"},\n{\"prompt\": \"b\"},\n]\n",
            "[ { \"prompt\": \"a\" } { \"prompt\": \"b\" } ]",
            "[[\"a\", 1]]\n",
            "[]\n",
            "[\n",
        ] {
            assert_eq!(told(text), ARRAY, "{text}");
        }
        assert_eq!(told("[\"a\", \"b\"]\n"), Layout::Array { strings: true });
        assert_eq!(told("[\n\"a\",\n\"b\"\n]\n"), Layout::Array { strings: true });
        for text in [
            "{\n  \"prompt\": \"a\"\n}\n",
            "{\n  \"prompt\": \"a\"\n}\n{\n  \"prompt\": \"b\"\n}\n",
            "{\"requests\": [\n{\"prompt\": \"a\"},\n{\"prompt\": \"b\"}\n]}\n",
            "{\n\"a\": 1,\n\"b\": 2,\n\"c\": 3,\n\"d\": 4,\n\"e\": 5,\n\"f\": 6,\n\"g\": 7,\n\"h\": 8\n}\n",
        ] {
            assert_eq!(told(text), Layout::Spread, "{text}");
        }
        let told = ARRAY.check(Path::new("-")).unwrap_err().to_string();
        assert!(
            told.starts_with("stdin is one JSON array") && told.contains("jq -c .[]"),
            "{told}"
        );
    }

    #[test]
    fn prose_in_brackets_is_text() {
        for text in [
            "[Scene: a dark house]\nOnce\n",
            "[1] The first note\n[2] The second\n",
            "[1]\nThe first note\n",
            "[\"Hello,\" she said.]\n",
            "[\nThe old house\n]\n",
            "{Chapter one}\nThe old house\n",
            "{The old house\n",
            "\"Hello,\" she said.\n",
            "The old house\n{\"prompt\": \"a\"}\n",
            "The prompt, text and all\n",
            "",
        ] {
            assert_eq!(told(text), Layout::Plain, "{text}");
        }
    }

    #[test]
    fn a_header_makes_a_table() {
        for text in ["id,prompt\n1,Once\n", "\"prompt\";\"tokens\"\n", "prompt\ttokens\n"] {
            assert_eq!(told(text), Layout::Table, "{text}");
        }
    }

    #[test]
    fn nothing_is_read_behind_a_whole_first_line() {
        struct Once(bool);
        impl io::Read for Once {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                assert!(!std::mem::replace(&mut self.0, true), "one line is enough");
                buffer[..10].copy_from_slice(b"{\"a\": 1} \n");
                Ok(10)
            }
        }
        let mut lines = Lines::new(io::BufReader::new(Once(false)));
        assert_eq!(Layout::of(&mut lines).unwrap(), Layout::Json);
    }
}
