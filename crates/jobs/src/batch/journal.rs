//! A file that only grows: one JSON record a line, on the disk before the next one is begun.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::BatchError;

type Result<T> = std::result::Result<T, BatchError>;

/// An append-only file of JSON lines that survives being killed at any moment.
///
/// A record counts from the moment [`Journal::append`] returns. A program that dies within `append` leaves at most a
/// torn last line, which the next [`Journal::open`] takes away.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of complete lines.
    len: u64,
    dropped: u64,
}

impl Journal {
    /// Opens or creates the journal at `path` and hands every complete line to `visit`, in order. Only one line is
    /// held in memory at a time.
    ///
    /// # Errors
    /// [`BatchError::Broken`] if a line is not a `T`, unless it is the torn last one; [`BatchError::File`] if the file
    /// cannot be read or written.
    pub fn open<T: DeserializeOwned>(path: &Path, mut visit: impl FnMut(T)) -> Result<Self> {
        let (file, is_new) = drdiff_files::grow(path)?;
        let read = scan(path, &file, &mut visit)?;
        let journal = Self {
            path: path.to_owned(),
            file,
            len: read.complete,
            dropped: read.torn,
        };
        if read.torn > 0 {
            journal.truncate()?;
        }
        if is_new {
            journal.file.sync_all().map_err(BatchError::file("write", path))?;
            drdiff_files::sync_folder(path);
        }
        Ok(journal)
    }

    /// Visits the complete lines of a journal without changing it; `false` if there is no such file.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn read<T: DeserializeOwned>(path: &Path, mut visit: impl FnMut(T)) -> Result<bool> {
        match File::open(path) {
            Ok(file) => scan(path, &file, &mut visit).map(|_| true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(BatchError::file("read", path)(error)),
        }
    }

    /// Adds a record and waits until it is on the disk. On an error the journal is as it was before.
    ///
    /// # Errors
    /// [`BatchError::File`] if the disk is full or fails, [`BatchError::Gone`] if somebody has removed the file.
    pub fn append(&mut self, record: &impl Serialize) -> Result<()> {
        let line = json_line(&self.path, record)?;
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // Part of the line may be there. If it cannot be taken away now, the next `open` does it.
            let _ = self.truncate();
            return Err(BatchError::file("write", &self.path)(source));
        }
        // A removed file can be written to as long as it is open; nobody would ever see the record.
        if !self.path.exists() {
            return Err(BatchError::Gone {
                path: self.path.clone(),
            });
        }
        self.len += line.len() as u64;
        Ok(())
    }

    /// Bytes of the torn last line that `open` took away; 0 if there was none.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn truncate(&self) -> Result<()> {
        self.file
            .set_len(self.len)
            .and_then(|()| self.file.sync_all())
            .map_err(BatchError::file("repair", &self.path))
    }
}

/// A record as a line of JSON; `path` is for messages only.
pub(super) fn json_line(path: &Path, record: &impl Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record).map_err(|e| BatchError::Record {
        path: path.to_owned(),
        reason: e.to_string(),
    })?;
    line.push(b'\n');
    Ok(line)
}

/// How far a journal is whole.
struct Read {
    /// Bytes of complete lines.
    complete: u64,
    /// Bytes behind them.
    torn: u64,
}

fn scan<T: DeserializeOwned>(path: &Path, file: &File, visit: &mut dyn FnMut(T)) -> Result<Read> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut read = Read { complete: 0, torn: 0 };
    let mut torn: Option<BatchError> = None;
    for number in 1.. {
        line.clear();
        let len = reader
            .read_until(b'\n', &mut line)
            .map_err(BatchError::file("read", path))?;
        if len == 0 {
            break;
        }
        if let Some(error) = torn {
            return Err(error);
        }
        let parsed = serde_json::from_slice::<T>(&line);
        match parsed {
            Ok(record) if line.ends_with(b"\n") => {
                visit(record);
                read.complete += len as u64;
            }
            parsed => {
                let error = BatchError::Broken {
                    path: path.to_owned(),
                    line: number,
                    reason: parsed.err().map_or_else(|| "no line end".to_owned(), |e| e.to_string()),
                };
                // A whole line of other JSON is no trace of a crash but somebody else's file.
                let other = line.ends_with(b"\n") && serde_json::from_slice::<IgnoredAny>(&line).is_ok();
                if other {
                    return Err(error);
                }
                read.torn = len as u64;
                torn = Some(error);
            }
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;

    fn open(path: &Path) -> (Result<Journal>, Vec<Value>) {
        let mut seen = Vec::new();
        let journal = Journal::open(path, |value| seen.push(value));
        (journal, seen)
    }

    #[test]
    fn what_is_appended_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        let records = [json!({ "id": "é\n" }), json!(2), json!([])];
        let mut journal = open(&path).0.unwrap();
        records.iter().for_each(|record| journal.append(record).unwrap());
        drop(journal);
        let (journal, seen) = open(&path);
        assert_eq!((seen.as_slice(), journal.unwrap().dropped()), (&records[..], 0));
    }

    #[test]
    fn a_file_cut_anywhere_keeps_its_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        let whole = b"{\"a\":1}\n{\"b\":22}\n";
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let (journal, seen) = open(&path);
            let lines = if cut < 8 { 0 } else { usize::from(cut == 17) + 1 };
            assert_eq!(seen.len(), lines, "cut at {cut}");
            journal.unwrap().append(&json!("next")).unwrap();
            assert_eq!(open(&path).1.len(), lines + 1, "cut at {cut}");
        }
    }

    #[test]
    fn a_last_line_of_zeros_is_torn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        fs::write(&path, b"1\n\0\0\0\n").unwrap();
        let (journal, seen) = open(&path);
        assert_eq!((seen.len(), journal.unwrap().dropped()), (1, 4));
    }

    #[test]
    fn a_broken_line_in_the_middle_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        let text = "1\n{\"a\":\n3\n";
        fs::write(&path, text).unwrap();
        let error = open(&path).0.unwrap_err().to_string();
        assert!(
            error.contains("a.jsonl is damaged at line 2") && error.contains("delete that line"),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn other_json_at_the_end_is_not_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        fs::write(&path, "1\n\"two\"\n").unwrap();
        let error = Journal::open(&path, |_: u32| ()).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_removed_file_is_missed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        let mut journal = open(&path).0.unwrap();
        journal.append(&1).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(matches!(journal.append(&2), Err(BatchError::Gone { .. })));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_one_sentence() {
        // Reading it never ends, so it is not opened the usual way.
        let path = PathBuf::from("/dev/full");
        let file = File::options().append(true).open(&path).unwrap();
        let mut journal = Journal {
            path,
            file,
            len: 0,
            dropped: 0,
        };
        let error = journal.append(&1).unwrap_err().to_string();
        assert!(
            error.contains("cannot write /dev/full: No space left") && error.contains("make room"),
            "{error}"
        );
    }
}
