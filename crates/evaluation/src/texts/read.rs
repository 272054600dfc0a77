//! Texts out of a file, whatever wrote them.

use std::path::Path;

use drdiff_data::Tokenizer;
use drdiff_files::{Layout, Lines, plain, text};
use drdiff_generation::apart;
use serde::Serialize;
use serde_json::Value;

use super::openings::openings;
use crate::{Error, Result};

/// One text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// What it goes on from, empty where that is nothing; `None` where its record does not say.
    pub prompt: Option<String>,
    /// The text, without its prompt.
    pub text: String,
    /// Why it ended, if its record says so.
    pub stop_reason: Option<String>,
}

/// A line that holds no text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Malformed {
    /// Counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// The texts of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextSet {
    /// The file's name.
    pub name: String,
    /// In the order of the file.
    pub texts: Vec<Text>,
    /// Lines that are no records; they do not end the reading.
    pub malformed: Vec<Malformed>,
}

impl TextSet {
    /// Reads a `.txt` file (one text), or JSON lines: records of `drdiff batch` in both of its forms, of `drdiff sweep`
    /// (`texts.jsonl`), or any object with a string under `text` and perhaps one under `prompt`. Both may be packed by gzip or
    /// zstd. Texts and prompts are cleaned as those that are written on, see [`apart`]. A text whose gaps were filled goes on
    /// from nothing, and so does a file; a record that has no prompt does not say what its text goes on from.
    ///
    /// # Errors
    /// If the file cannot be read, is no text, or holds none at all.
    pub fn read(path: &Path) -> Result<Self> {
        let unreadable = |source| Error::File {
            action: "read",
            path: path.to_owned(),
            source,
        };
        let mut set = Self {
            name: name_of(path),
            ..Self::default()
        };
        let reader = text::open(path)?;
        if is_one_text(path) {
            set.texts.push(Text {
                prompt: Some(String::new()),
                text: plain(&text::whole(reader, path)?).into_owned(),
                stop_reason: None,
            });
        } else {
            let mut lines = Lines::new(reader);
            match Layout::of(&mut lines).map_err(unreadable)? {
                // What is no JSON is told line by line.
                Layout::Table => {}
                layout => layout.check(path)?,
            }
            while let Some(line) = lines.read().map_err(unreadable)? {
                match line.content.and_then(|content| record(&content)) {
                    Ok(text) => set.texts.extend(text),
                    Err(reason) => set.malformed.push(Malformed {
                        line: line.number,
                        reason,
                    }),
                }
            }
        }
        if set.texts.iter().all(|text| text.text.is_empty()) {
            return Err(Error::Config(format!(
                "{} holds no text{}; give JSON lines with a string under \"text\", or a .txt file",
                path.display(),
                set.malformed
                    .first()
                    .map_or_else(String::new, |bad| format!(" (line {}: {})", bad.line, bad.reason)),
            )));
        }
        Ok(set)
    }
}

/// Whether a file's name, without the ending of a packed one, says that it is one text.
fn is_one_text(path: &Path) -> bool {
    let packed = path.extension().is_some_and(|end| end == "gz" || end == "zst");
    let name = if packed {
        path.file_stem().map(Path::new)
    } else {
        Some(path)
    };
    let ending = name.and_then(Path::extension);
    ending.is_some_and(|end| end.eq_ignore_ascii_case("txt"))
}

/// The text of a line; `None` of an empty one.
fn record(line: &str) -> std::result::Result<Option<Text>, String> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    let value: Value = serde_json::from_str(line).map_err(|e| format!("no JSON: {e}"))?;
    let string = |value: &Value| value.as_str().map(str::to_owned);
    let choice = &value["response"]["body"]["choices"][0];
    let text = [&value["text"], &choice["text"], &choice["message"]["content"]];
    let Some(text) = text.into_iter().find_map(string) else {
        return Err("there is no string under \"text\"".to_owned());
    };
    let beside = &value["response"]["body"]["diffusion"];
    let prompt = [&value["prompt"], &value["made_by"]["prompt"], &beside["prompt"]];
    // What fills gaps and what answers a message are texts by themselves.
    let whole =
        |value: &Value| value["infill"].is_string() || value["chat"].is_string() || value["messages"].is_array();
    let filled = whole(&value) || whole(beside);
    let reason = [&value["stop_reason"], &value["ended"], &beside["stop_reason"]];
    let known = prompt.into_iter().find_map(string).or_else(|| filled.then(String::new));
    let (prompt, text) = apart(known.as_deref().unwrap_or_default(), &text);
    Ok(Some(Text {
        prompt: known.is_some().then(|| prompt.into_owned()),
        text: text.into_owned(),
        stop_reason: reason.into_iter().find_map(string),
    }))
}

/// The first `tokens` tokens of at most `limit` documents of a file (see [`openings`]): human text to compare with.
///
/// # Errors
/// If the file cannot be read or no document is long enough.
pub fn documents_of(path: &Path, tokenizer: &Tokenizer, tokens: usize, limit: usize) -> Result<TextSet> {
    let texts = openings(path, tokenizer, tokens, limit)?;
    let texts = texts.iter().map(|ids| Text {
        prompt: Some(String::new()),
        text: tokenizer.decode(ids),
        stop_reason: None,
    });
    Ok(TextSet {
        name: name_of(path),
        texts: texts.collect(),
        ..TextSet::default()
    })
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_record_is_read_and_bad_lines_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("texts.jsonl");
        let lines = [
            r#"{"id":"1","prompt":"Once","text":" upon","stop_reason":"end"}"#,
            "no json",
            r#"{"custom_id":"2","response":{"body":{"choices":[{"text":"a"}],"diffusion":{"stop_reason":"length"}}}}"#,
            r#"{"response":{"body":{"choices":[{"message":{"content":"b"}}]}}}"#,
            "",
            r#"{"made_by":{"prompt":"p"},"prompt":0,"text":"c","ended":"end"}"#,
            r#"{"words":3}"#,
            r#"{"response":{"body":{"choices":[{"text":"d"}],"diffusion":{"prompt":"P"}}}}"#,
            r#"{"infill":"e [[1]]","text":"e f"}"#,
        ];
        std::fs::write(&path, lines.join("\n")).unwrap();
        let set = TextSet::read(&path).unwrap();
        let read: Vec<&str> = set.texts.iter().map(|text| text.text.as_str()).collect();
        assert_eq!(read, [" upon", "a", "b", "c", "d", "e f"]);
        let prompts: Vec<_> = set.texts.iter().map(|text| text.prompt.as_deref()).collect();
        assert_eq!(prompts, [Some("Once"), None, None, Some("p"), Some("P"), Some("")]);
        let reasons: Vec<_> = set.texts.iter().map(|text| text.stop_reason.as_deref()).collect();
        assert_eq!(reasons, [Some("end"), Some("length"), None, Some("end"), None, None]);
        let bad: Vec<u64> = set.malformed.iter().map(|bad| bad.line).collect();
        assert_eq!(bad, [2, 7]);
    }

    #[test]
    fn texts_are_read_as_they_were_written_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("texts.jsonl");
        let line = "\u{feff}{\"prompt\": \"Once\\r\\n \", \"text\": \"upon\\r\\na\"}\r\n";
        std::fs::write(&path, line).unwrap();
        let set = TextSet::read(&path).unwrap();
        let Text { prompt, text, .. } = &set.texts[0];
        assert_eq!((prompt.as_deref(), text.as_str()), (Some("Once\n"), " upon\na"));
        let path = dir.path().join("text.TXT.gz");
        std::fs::write(&path, "\u{feff}One\r\ntext").unwrap();
        assert_eq!(TextSet::read(&path).unwrap().texts[0].text, "One\ntext");
    }

    #[test]
    fn files_that_hold_no_lines_of_records_are_refused_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("texts.jsonl");
        for (bytes, words) in [
            (&b"[{\"text\": \"a\"}]\n"[..], "jq -c .[]"),
            (b"{\n\"text\": \"a\"\n}\n", "jq -c ."),
            (b"\xff\xfe{\0", "iconv -f utf-16"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let told = TextSet::read(&path).unwrap_err().to_string();
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn a_file_without_text_is_refused_in_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty.jsonl");
        std::fs::write(&path, "{}\n").unwrap();
        let told = TextSet::read(&path).unwrap_err().to_string();
        assert!(told.contains("holds no text (line 1"), "{told}");
        assert!(TextSet::read(&dir.path().join("none.jsonl")).is_err());
    }
}
