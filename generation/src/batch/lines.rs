//! Lines of a file of any size: one at a time, with their numbers, never longer than a limit.

use std::io::{self, BufRead};

/// Longest line in bytes. A longer one is no request but another kind of file.
const LONGEST: usize = 16 << 20;

/// A line without its end; or why it is none.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Counted from 1.
    pub number: u64,
    /// The text of the line.
    pub content: Result<String, String>,
}

/// Reads lines one by one.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    number: u64,
    longest: usize,
}

impl<R: BufRead> Lines<R> {
    /// Lines of `reader`.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            number: 0,
            longest: LONGEST,
        }
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// If reading fails.
    pub fn read(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let mut too_long = false;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                if bytes.is_empty() && !too_long {
                    return Ok(None);
                }
                break;
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let piece = &buffer[..end.unwrap_or(buffer.len())];
            too_long |= bytes.len() + piece.len() > self.longest;
            if too_long {
                bytes.clear();
            } else {
                bytes.extend_from_slice(piece);
            }
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        self.number += 1;
        Ok(Some(Line {
            number: self.number,
            content: if too_long {
                Err(format!("the line is longer than {} bytes", self.longest))
            } else {
                text(bytes, self.number == 1)
            },
        }))
    }
}

/// Text without a carriage return at its end and, in the first line, a byte order mark.
fn text(bytes: Vec<u8>, first: bool) -> Result<String, String> {
    let mut text = String::from_utf8(bytes)
        .map_err(|e| format!("the line is not UTF-8 (byte {})", e.utf8_error().valid_up_to()))?;
    if text.ends_with('\r') {
        text.pop();
    }
    if first && text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn read(bytes: &[u8]) -> Vec<Result<String, String>> {
        // A buffer of three bytes, so that lines spread over several.
        let mut lines = Lines::new(BufReader::with_capacity(3, bytes));
        lines.longest = 8;
        std::iter::from_fn(|| lines.read().unwrap())
            .map(|line| line.content)
            .collect()
    }

    #[test]
    fn line_ends_and_marks_are_no_text() {
        let lines = read("\u{feff}ab\r\n\nlast".as_bytes());
        assert_eq!(lines, [Ok("ab".into()), Ok(String::new()), Ok("last".into())]);
        assert!(read(b"").is_empty());
        assert_eq!(read(b"\n").len(), 1);
    }

    #[test]
    fn what_is_no_line_of_text_does_not_end_the_reading() {
        let lines = read(b"12345678\n123456789\n\xff\nok");
        assert_eq!(lines[0], Ok("12345678".into()));
        assert!(lines[1].as_ref().unwrap_err().contains("longer than 8 bytes"));
        assert!(lines[2].as_ref().unwrap_err().contains("not UTF-8 (byte 0)"));
        assert_eq!(lines[3], Ok("ok".into()));
    }
}
