//! A file of requests, read line by line.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;

use drdiff_files::{Layout, Line, Lines, text};
use drdiff_generation::Choices;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::BatchError;
use super::form::{Form, Unusable};

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

    /// Tells the format of lines that lie as `layout` says: OpenAI's JSON has a `custom_id`. The first line that is whole
    /// JSON decides; without one, the first that looks like it.
    fn detect(layout: Layout, lines: &mut Lines<text::Reader>) -> io::Result<Self> {
        if layout != Layout::Json {
            return Ok(Self::Text);
        }
        let whole = lines.find_ahead(|line| match serde_json::from_str(line) {
            Ok(Value::Object(map)) => Some(map.contains_key("custom_id") || map.contains_key("body")),
            _ => None,
        })?;
        let has_id = match whole {
            Some(has_id) => has_id,
            None => {
                let first = lines.find_ahead(|line| line.starts_with('{').then(|| line.contains("\"custom_id\"")))?;
                first.unwrap_or(false)
            }
        };
        Ok(if has_id { Self::OpenAi } else { Self::Drdiff })
    }
}

/// How the lines of `path` lie, of which `format` is known or not. A name that promises JSON or a table is believed where
/// the content could be anything.
fn layout(path: &Path, format: Option<InputFormat>, lines: &mut Lines<text::Reader>) -> io::Result<Layout> {
    if format == Some(InputFormat::Text) {
        return Ok(Layout::Plain);
    }
    let told = Layout::of(lines)?;
    // Packed files have an ending behind their ending.
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    Ok(match told {
        // Whoever says that the lines are JSON is told line by line which are not.
        Layout::Plain | Layout::Table if format.is_some() => Layout::Json,
        Layout::Plain | Layout::Table if ends(&[".jsonl", ".json", ".ndjson"]) => Layout::Json,
        Layout::Plain if ends(&[".csv", ".tsv"]) => Layout::Table,
        told => told,
    })
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
    lines: Lines<text::Reader>,
    format: InputFormat,
    ignored: BTreeSet<String>,
}

impl Input {
    /// Opens a file; `-` stands for `stdin`. Without a `format` it is told from the content.
    ///
    /// # Errors
    /// If the file cannot be read, or is no list of requests as a whole.
    pub fn open(path: &Path, format: Option<InputFormat>) -> Result<Self, BatchError> {
        if path == Path::new("-") {
            return Self::new(Box::new(io::stdin()), path, format);
        }
        Self::of(text::open(path)?, path, format)
    }

    /// Reads requests from anything; `path` is for messages, and its ending helps to tell the format.
    ///
    /// # Errors
    /// As [`Input::open`].
    pub fn new(source: Box<dyn Read + Send>, path: &Path, format: Option<InputFormat>) -> Result<Self, BatchError> {
        Self::of(text::stream(source, path)?, path, format)
    }

    fn of(reader: text::Reader, path: &Path, format: Option<InputFormat>) -> Result<Self, BatchError> {
        let mut lines = Lines::new(reader);
        let unreadable = || BatchError::file("read", path);
        let layout = layout(path, format, &mut lines).map_err(unreadable())?;
        layout.check(path)?;
        let format = match format {
            Some(format) => format,
            None => InputFormat::detect(layout, &mut lines).map_err(unreadable())?,
        };
        Ok(Self {
            path: path.to_owned(),
            lines,
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

    /// Notes which settings of a request have no meaning in a job where `chosen` is chosen.
    pub(super) fn note_unused(&mut self, item: &Item, chosen: &Choices) {
        if let Ok(form) = &item.form {
            let process = form.choices.over(chosen).process();
            let idle = form.choices.idle(process).map(|setting| setting.name);
            self.ignored
                .extend(idle.map(|name| format!("{name} (of the process {process})")));
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
    use super::super::wish::Wish;
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
        let long = format!("{{\"body\": \"{}\", \"custom_id\": \"a\"}}", "x".repeat(1 << 20));
        assert_eq!(format(&long, "-"), InputFormat::OpenAi);
        assert_eq!(format("[Scene: a house]\n{Once}\n", "a.txt"), InputFormat::Text);
        assert_eq!(format("{Once upon a time}\nThe\n", "a.txt"), InputFormat::Text);
        assert_eq!(format("", "-"), InputFormat::Text);
    }

    #[test]
    fn what_is_no_list_of_requests_is_refused_as_a_whole() {
        let told = |text: &str, name: &str, format| {
            let source = io::Cursor::new(text.as_bytes().to_vec());
            Input::new(Box::new(source), Path::new(name), format)
                .err()
                .map(|error| error.to_string())
        };
        let array = "[\n  {\"prompt\": \"a\"}\n]\n";
        for (name, format) in [("a.json", None), ("a.txt", None), ("-", Some(InputFormat::Drdiff))] {
            let told = told(array, name, format).unwrap();
            assert!(told.contains("JSON array") && told.contains("jq -c .[]"), "{told}");
        }
        assert_eq!(told(array, "a.txt", Some(InputFormat::Text)), None);
        assert!(
            told("{\n\"prompt\": \"a\"\n}\n", "-", None)
                .unwrap()
                .contains("jq -c .")
        );
        assert!(told("id,prompt\n1,Once\n", "a.txt", None).unwrap().contains("table"));
        assert!(told("Once\n", "a.csv", None).unwrap().contains("table"));
        assert!(
            told("T\0h\0e\0", "a.jsonl", None)
                .unwrap()
                .contains("iconv -f utf-16le")
        );
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
