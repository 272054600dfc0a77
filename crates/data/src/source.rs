//! Documents out of `.txt` and `.jsonl` files, plain or packed, one at a time.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use drdiff_files::{Layout, Line, Lines, plain, text};

use super::error::DataError;
use super::record::{Record, Said};
use crate::Message;

/// One document may be this long; it is held in memory whole.
const DOCUMENT_LIMIT: u64 = 256 << 20;
/// JSON escapes at most six bytes for one.
const LINE_LIMIT: usize = 6 * DOCUMENT_LIMIT as usize;

/// One text with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The id in the file, or the file name and number: decides the split and whether the title is shown.
    pub id: String,
    /// Without outer blank space, with `\n` line ends; may be empty. Of a conversation all that is said, one turn a line.
    pub text: String,
    /// The turns, if it is a conversation.
    pub messages: Option<Vec<Message>>,
    /// As given, without outer blank space.
    pub title: Option<String>,
    /// Kind of text, for the shares of training.
    pub tier: Option<String>,
    /// It is a conversation whose last answer ended at the limit of its length.
    pub cut: bool,
}

/// The documents of a `.txt` file (one), or of a `.jsonl` file (one a line, under the key `text`, or a conversation under
/// `messages`, each turn with `role` and `content`). A record of `drdiff batch` is its prompt and text, or the conversation of its
/// message and answer. Both kinds of files may be packed by gzip or zstd, which is told from their content; an ending `.gz` or `.zst` is no part of the name.
///
/// # Errors
/// If the file has another ending, is no text or cannot be opened; each document may be an error of its own, and then is
/// the last.
pub fn documents(path: &Path) -> Result<impl Iterator<Item = Result<Document, DataError>> + use<>, DataError> {
    let mut source = Some(Source::open(path)?);
    Ok(std::iter::from_fn(move || {
        let next = source.as_mut()?.next_document().transpose();
        if !matches!(next, Some(Ok(_))) {
            source = None;
        }
        next
    }))
}

/// Bytes read so far and their hash, shared with the reader below the decoder.
#[derive(Clone, Default)]
pub(super) struct Tally(Arc<Mutex<(u64, blake3::Hasher)>>);

impl Tally {
    /// Bytes of the file read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.0.lock().map_or(0, |tally| tally.0)
    }

    /// blake3 of the bytes read so far, in hex.
    pub(super) fn hash(&self) -> String {
        self.0
            .lock()
            .map_or_else(|_| String::new(), |tally| tally.1.finalize().to_hex().to_string())
    }
}

struct Tallied {
    file: File,
    tally: Tally,
}

impl Read for Tallied {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        if let Ok(mut tally) = self.tally.0.lock() {
            tally.0 += count as u64;
            tally.1.update(&buffer[..count]);
        }
        Ok(count)
    }
}

/// An open file that yields documents.
pub(super) struct Source {
    path: PathBuf,
    tally: Tally,
    kind: Kind,
    found: bool,
}

enum Kind {
    Text(Option<text::Reader>),
    Lines(Lines<text::Reader>),
}

impl Source {
    /// Opens `path`; its name decides whether it is one text or a text a line.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().to_lowercase())
            .unwrap_or_default();
        let name = [".gz", ".zst"]
            .iter()
            .find_map(|ending| name.strip_suffix(ending))
            .unwrap_or(&name);
        let is_text = name.ends_with(".txt");
        if !is_text && !name.ends_with(".jsonl") && !name.ends_with(".ndjson") {
            return Err(DataError::UnknownKind { path: path.to_owned() });
        }
        let tally = Tally::default();
        let file = Tallied {
            file: File::open(path).map_err(DataError::io(path))?,
            tally: tally.clone(),
        };
        let reader = text::stream(file, path)?;
        let kind = if is_text {
            Kind::Text(Some(reader))
        } else {
            let mut lines = Lines::at_most(reader, LINE_LIMIT);
            let layout = Layout::of(&mut lines).map_err(|e| unreadable(path, 1, &e))?;
            layout.check(path)?;
            Kind::Lines(lines)
        };
        Ok(Self {
            path: path.to_owned(),
            tally,
            kind,
            found: false,
        })
    }

    /// The running count and hash of the stored bytes.
    pub(super) fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// The next document; `None` at the end of the file, an error if the file held none.
    pub(super) fn next_document(&mut self) -> Result<Option<Document>, DataError> {
        let document = match &mut self.kind {
            Kind::Text(reader) => match reader.take() {
                Some(reader) => Some(self.whole_file(reader)?),
                None => None,
            },
            Kind::Lines(_) => self.next_line()?,
        };
        if document.is_none() && !self.found {
            return Err(DataError::Empty {
                path: self.path.clone(),
            });
        }
        self.found = true;
        Ok(document)
    }

    fn whole_file(&self, reader: text::Reader) -> Result<Document, DataError> {
        let mut bytes = Vec::new();
        reader
            .take(DOCUMENT_LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(DataError::io(&self.path))?;
        self.check_length(bytes.len())?;
        let text = clean(&text::utf8(bytes, &self.path)?);
        if text.is_empty() {
            return Err(DataError::Empty {
                path: self.path.clone(),
            });
        }
        Ok(Document {
            id: self.default_id(1),
            text,
            messages: None,
            title: None,
            tier: None,
            cut: false,
        })
    }

    fn next_line(&mut self) -> Result<Option<Document>, DataError> {
        let Kind::Lines(lines) = &mut self.kind else {
            return Ok(None);
        };
        let mut last = 0;
        let Line { number, content } = loop {
            match lines.read().map_err(|e| unreadable(&self.path, last + 1, &e))? {
                None => return Ok(None),
                Some(line) if line.is_blank() => last = line.number,
                Some(line) => break line,
            }
        };
        let line = content.map_err(|reason| line_error(&self.path, number, reason))?;
        let record: Record = serde_json::from_str(line.trim_end()).map_err(|e| {
            let what = if e.is_data() { "unusable record" } else { "broken JSON" };
            line_error(
                &self.path,
                number,
                format!("{what} (column {}: {})", e.column(), reason(&e)),
            )
        })?;
        let id = record.id().unwrap_or_else(|| self.default_id(number));
        let (title, tier) = (record.title.clone(), record.tier.clone());
        let Said { text, messages, cut } = record
            .said()
            .map_err(|what| line_error(&self.path, number, format!("unusable record ({what})")))?;
        self.check_length(text.len())?;
        let title = title
            .map(|title| title.trim().to_owned())
            .filter(|title| !title.is_empty());
        Ok(Some(Document {
            id,
            text: clean(&text),
            messages,
            title,
            tier,
            cut,
        }))
    }

    fn check_length(&self, bytes: usize) -> Result<(), DataError> {
        if bytes as u64 > DOCUMENT_LIMIT {
            return Err(DataError::TooLong {
                path: self.path.clone(),
                limit: DOCUMENT_LIMIT,
            });
        }
        Ok(())
    }

    fn default_id(&self, number: u64) -> String {
        let name = self
            .path
            .file_name()
            .map(|name| name.to_string_lossy())
            .unwrap_or_default();
        format!("{name}#{number}")
    }
}

fn line_error(path: &Path, line: u64, reason: String) -> DataError {
    DataError::Line {
        path: path.to_owned(),
        line,
        reason,
    }
}

fn unreadable(path: &Path, line: u64, error: &std::io::Error) -> DataError {
    line_error(path, line, format!("unreadable data ({error})"))
}

/// serde_json's own words without its position, which counts from the start of the line and is given already.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.split(" at line ").next().unwrap_or_default().to_owned()
}

/// Text as it is tokenised: no byte order mark, `\n` line ends, no blank space around it.
fn clean(text: &str) -> String {
    plain(text).trim().to_owned()
}
