//! A file of requests, read line by line.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::BatchError;
use super::form::{Form, Unusable};
use super::lines::{Line, Lines};
use crate::Settings;

/// Bytes that are looked at to tell the format.
const HEAD: usize = 1 << 16;

/// How requests are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputFormat {
    /// JSON lines of DrDiff's own form.
    Drdiff,
    /// Lines of OpenAI's batch files.
    OpenAi,
    /// One prompt a line.
    Text,
}

impl InputFormat {
    /// Every format, in the order in which they are listed to users.
    pub const ALL: [Self; 3] = [Self::Drdiff, Self::OpenAi, Self::Text];

    /// The name that users type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Drdiff => "drdiff",
            Self::OpenAi => "openai",
            Self::Text => "text",
        }
    }

    /// Tells the format from the beginning of a file and its name: lines that begin with `{` are JSON, and OpenAI's
    /// have a `custom_id`. The first line that is whole JSON decides; without one, the first that looks like it.
    fn detect(head: &[u8], name: &Path) -> Self {
        let named_json = name
            .extension()
            .is_some_and(|ext| ext == "jsonl" || ext == "json" || ext == "ndjson");
        let lines = || head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let begins = |line: &[u8]| line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).starts_with(b"{");
        let first = lines().find(|line| !line.is_empty());
        if !named_json && !first.is_some_and(begins) {
            return Self::Text;
        }
        let whole = lines().filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let has_id = match whole.into_iter().find(Value::is_object) {
            Some(line) => line.get("custom_id").is_some() || line.get("body").is_some(),
            None => lines()
                .find(|line| begins(line))
                .is_some_and(|line| line.windows(11).any(|word| word == b"\"custom_id\"")),
        };
        if has_id { Self::OpenAi } else { Self::Drdiff }
    }
}

/// One line of the file that is not blank.
#[derive(Debug)]
pub(super) struct Item {
    /// Counted from 1.
    pub(super) line: u64,
    /// The line itself, as far as it is text.
    pub(super) text: String,
    /// The request, or why it is none.
    pub(super) form: Result<Form, Unusable>,
}

/// Requests, read one at a time from a file or a pipe of any size.
pub struct Input {
    path: std::path::PathBuf,
    lines: Lines<Box<dyn BufRead + Send>>,
    format: InputFormat,
    ignored: BTreeSet<String>,
}

impl Input {
    /// Opens a file; `-` stands for `stdin`. Without a `format` it is told from the content.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn open(path: &Path, format: Option<InputFormat>) -> Result<Self, BatchError> {
        if path == Path::new("-") {
            return Self::new(Box::new(io::stdin()), path, format);
        }
        let file = File::open(path).map_err(BatchError::file("read", path))?;
        Self::new(Box::new(file), path, format)
    }

    /// Reads requests from anything; `path` is for messages, and its ending helps to tell the format.
    ///
    /// # Errors
    /// If nothing can be read.
    pub fn new(source: Box<dyn Read + Send>, path: &Path, format: Option<InputFormat>) -> Result<Self, BatchError> {
        let mut reader: Box<dyn BufRead + Send> = Box::new(BufReader::with_capacity(HEAD, source));
        let format = match format {
            Some(format) => format,
            None => InputFormat::detect(reader.fill_buf().map_err(BatchError::file("read", path))?, path),
        };
        Ok(Self {
            path: path.to_owned(),
            lines: Lines::new(reader),
            format,
            ignored: BTreeSet::new(),
        })
    }

    /// The format of the lines.
    #[must_use]
    pub fn format(&self) -> InputFormat {
        self.format
    }

    /// Names of body fields that have no meaning here, as far as they have been met.
    pub fn ignored(&self) -> impl Iterator<Item = &str> {
        self.ignored.iter().map(String::as_str)
    }

    /// Notes which settings of a request have no meaning in a job of these `settings`.
    pub(super) fn note_unused(&mut self, item: &Item, settings: &Settings) {
        if let Ok(form) = &item.form {
            self.ignored.extend(form.overrides.beside_process(settings));
        }
    }

    /// The next line that is not blank; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Item>, BatchError> {
        loop {
            let Some(Line { number, content }) = self.lines.read().map_err(BatchError::file("read", &self.path))?
            else {
                return Ok(None);
            };
            let item = match content {
                Ok(text) if text.trim().is_empty() => continue,
                Ok(text) => Item {
                    line: number,
                    form: Form::read(&text, self.format, &mut self.ignored),
                    text,
                },
                Err(reason) => Item {
                    line: number,
                    text: String::new(),
                    form: Err(reason.into()),
                },
            };
            return Ok(Some(item));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::form::Wish;
    use super::*;

    fn open(text: &str, name: &str) -> Input {
        let source = io::Cursor::new(text.as_bytes().to_vec());
        Input::new(Box::new(source), Path::new(name), None).unwrap()
    }

    #[test]
    fn formats_are_told_apart() {
        let format = |text: &str, name: &str| open(text, name).format();
        assert_eq!(format("The old\nking\n", "a.txt"), InputFormat::Text);
        assert_eq!(format("\n{\"prompt\": \"a\"}\n", "-"), InputFormat::Drdiff);
        assert_eq!(format("\u{feff}{\"prompt\": \"a\"}\n", "-"), InputFormat::Drdiff);
        assert_eq!(format("{\"custom_id\": \"a\"}\n", "-"), InputFormat::OpenAi);
        assert_eq!(format("{broken\n{\"custom_id\": \"a\"}\n", "-"), InputFormat::OpenAi);
        assert_eq!(format("broken\n{\"prompt\": \"a\"}\n", "a.jsonl"), InputFormat::Drdiff);
        let long = format!("{{\"custom_id\": \"a\", \"body\": \"{}\"}}", "x".repeat(HEAD));
        assert_eq!(format(&long, "-"), InputFormat::OpenAi);
        assert_eq!(format("", "-"), InputFormat::Text);
    }

    #[test]
    fn lines_keep_their_numbers() {
        let mut input = open("{\"prompt\": \"a\"}\n\n[1]\n{\"prompt\"\n{\"prompt\": \"b\"}", "-");
        let mut items = Vec::new();
        while let Some(item) = input.next().unwrap() {
            items.push((item.line, item.form.map(|form| form.wish)));
        }
        assert_eq!(items[0], (1, Ok(Wish::Prompt("a".into()))));
        assert!(items[1].0 == 3 && items[1].1.as_ref().unwrap_err().reason.contains("no object"));
        assert!(items[2].0 == 4 && items[2].1.as_ref().unwrap_err().reason.contains("not JSON"));
        assert_eq!(items[3], (5, Ok(Wish::Prompt("b".into()))));
    }
}
