//! Documents out of `.txt`, `.jsonl` and `.jsonl.zst` files, one at a time.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::Deserialize;

use super::error::DataError;

/// One document may be this long; it is held in memory whole.
const DOCUMENT_LIMIT: u64 = 256 << 20;
/// zstd files written with `--long=27` and up to `--ultra --long=31` refer this far back.
const WINDOW_LOG_MAX: u32 = 31;

/// One text with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The id in the file, or the file name and number: decides the split and whether the title is shown.
    pub id: String,
    /// Without outer blank space, with `\n` line ends; may be empty.
    pub text: String,
    /// As given, without outer blank space.
    pub title: Option<String>,
    /// Kind of text, for the shares of training.
    pub tier: Option<String>,
}

/// What of a JSON line is read; other fields are ignored.
#[derive(Deserialize)]
struct Record {
    id: Option<serde_json::Value>,
    text: String,
    title: Option<String>,
    tier: Option<String>,
}

/// The documents of a `.txt` file (one), or of a `.jsonl` or `.jsonl.zst` file (one a line, under the key `text`).
///
/// # Errors
/// If the file has another ending or cannot be opened; each document may be an error of its own, and then is the last.
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
    line: u64,
    found: bool,
}

enum Kind {
    Text(Option<Tallied>),
    Lines(Box<dyn BufRead + Send>),
}

impl Source {
    /// Opens `path`; its name decides how it is read.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().to_lowercase())
            .unwrap_or_default();
        let tally = Tally::default();
        let open = || {
            let file = File::open(path).map_err(DataError::io(path))?;
            Ok::<_, DataError>(Tallied {
                file,
                tally: tally.clone(),
            })
        };
        let kind = if name.ends_with(".txt") {
            Kind::Text(Some(open()?))
        } else if name.ends_with(".jsonl") {
            Kind::Lines(Box::new(BufReader::with_capacity(1 << 20, open()?)))
        } else if name.ends_with(".jsonl.zst") {
            let mut decoder = zstd::Decoder::new(open()?).map_err(DataError::io(path))?;
            decoder.window_log_max(WINDOW_LOG_MAX).map_err(DataError::io(path))?;
            Kind::Lines(Box::new(BufReader::with_capacity(1 << 20, decoder)))
        } else {
            return Err(DataError::UnknownKind { path: path.to_owned() });
        };
        Ok(Self {
            path: path.to_owned(),
            tally,
            kind,
            line: 0,
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
            Kind::Text(file) => match file.take() {
                Some(file) => Some(self.whole_file(file)?),
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

    fn whole_file(&self, file: Tallied) -> Result<Document, DataError> {
        let mut bytes = Vec::new();
        file.take(DOCUMENT_LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(DataError::io(&self.path))?;
        self.check_length(bytes.len())?;
        let text = String::from_utf8(bytes).map_err(|e| DataError::NotUtf8 {
            path: self.path.clone(),
            offset: e.utf8_error().valid_up_to(),
        })?;
        let text = clean(&text);
        if text.is_empty() {
            return Err(DataError::Empty {
                path: self.path.clone(),
            });
        }
        Ok(Document {
            id: self.default_id(1),
            text,
            title: None,
            tier: None,
        })
    }

    fn next_line(&mut self) -> Result<Option<Document>, DataError> {
        let Kind::Lines(reader) = &mut self.kind else {
            return Ok(None);
        };
        let mut line = Vec::new();
        loop {
            line.clear();
            self.line += 1;
            // JSON escapes at most six bytes for one.
            let count = reader
                .take(6 * DOCUMENT_LIMIT)
                .read_until(b'\n', &mut line)
                .map_err(|e| line_error(&self.path, self.line, format!("unreadable data ({e})")))?;
            if count == 0 {
                return Ok(None);
            }
            if line.iter().any(|byte| !byte.is_ascii_whitespace()) {
                break;
            }
        }
        if let Err(e) = std::str::from_utf8(&line) {
            return Err(line_error(
                &self.path,
                self.line,
                format!("bytes that are not UTF-8 (byte {})", e.valid_up_to()),
            ));
        }
        let record: Record = serde_json::from_slice(line.trim_ascii_end()).map_err(|e| {
            let what = if e.is_data() { "unusable record" } else { "broken JSON" };
            line_error(
                &self.path,
                self.line,
                format!("{what} (column {}: {})", e.column(), reason(&e)),
            )
        })?;
        self.check_length(record.text.len())?;
        let id = match record.id {
            Some(serde_json::Value::String(id)) => id,
            Some(serde_json::Value::Null) | None => self.default_id(self.line),
            Some(other) => other.to_string(),
        };
        let title = record
            .title
            .map(|title| title.trim().to_owned())
            .filter(|title| !title.is_empty());
        Ok(Some(Document {
            id,
            text: clean(&record.text),
            title,
            tier: record.tier,
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

/// serde_json's own words without its position, which counts from the start of the line and is given already.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.split(" at line ").next().unwrap_or_default().to_owned()
}

/// Text as it is tokenised: no byte order mark, `\n` line ends, no blank space around it.
fn clean(text: &str) -> String {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.contains('\r') {
        text.replace("\r\n", "\n").replace('\r', "\n")
    } else {
        text.to_owned()
    }
}
