//! Lines of a text of any size: one at a time, with their numbers, never longer than a limit.

use std::collections::VecDeque;
use std::io::{self, BufRead};

/// Longest line in bytes, if nothing else is said. A longer one is no request but another kind of file.
const LONGEST: usize = 16 << 20;

/// A line without its end; or why it is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Counted from 1.
    pub number: u64,
    /// The text of the line.
    pub content: Result<String, String>,
}

impl Line {
    /// Whether nothing but white space stands in it.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.content.as_ref().is_ok_and(|text| text.trim().is_empty())
    }
}

/// Reads lines one by one. A line ends with `\n`, `\r\n` or `\r`.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    number: u64,
    longest: usize,
    /// The last line ended with `\r`: a `\n` behind it belongs to that end.
    returned: bool,
    /// Lines that were looked at and not taken yet.
    ahead: VecDeque<Line>,
}

impl<R: BufRead> Lines<R> {
    /// Lines of `reader`, of at most 16 MiB each.
    pub fn new(reader: R) -> Self {
        Self::at_most(reader, LONGEST)
    }

    /// Lines of at most `longest` bytes each.
    pub fn at_most(reader: R, longest: usize) -> Self {
        Self {
            reader,
            number: 0,
            longest,
            returned: false,
            ahead: VecDeque::new(),
        }
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// If reading fails.
    pub fn read(&mut self) -> io::Result<Option<Line>> {
        match self.ahead.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.next(),
        }
    }

    /// The line that [`Lines::read`] will give after `index` others; `None` behind the end.
    ///
    /// # Errors
    /// If reading fails.
    pub fn ahead(&mut self, index: usize) -> io::Result<Option<&Line>> {
        while self.ahead.len() <= index {
            match self.next()? {
                Some(line) => self.ahead.push_back(line),
                None => return Ok(None),
            }
        }
        Ok(self.ahead.get(index))
    }

    fn next(&mut self) -> io::Result<Option<Line>> {
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
            if std::mem::take(&mut self.returned) && buffer[0] == b'\n' {
                self.reader.consume(1);
                continue;
            }
            let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let piece = &buffer[..end.unwrap_or(buffer.len())];
            too_long |= bytes.len() + piece.len() > self.longest;
            if too_long {
                bytes.clear();
            } else {
                bytes.extend_from_slice(piece);
            }
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.returned = end.is_some() && buffer[used - 1] == b'\r';
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
                text(bytes)
            },
        }))
    }
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(format!("the line holds a NUL byte (byte {at}), as text in UTF-16 does"));
    }
    String::from_utf8(bytes).map_err(|e| format!("the line is not UTF-8 (byte {})", e.utf8_error().valid_up_to()))
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(bytes: &[u8]) -> Lines<BufReader<&[u8]>> {
        // A buffer of three bytes, so that lines spread over several.
        Lines::at_most(BufReader::with_capacity(3, bytes), 8)
    }

    fn read(bytes: &[u8]) -> Vec<Result<String, String>> {
        let mut lines = lines(bytes);
        std::iter::from_fn(|| lines.read().unwrap())
            .map(|line| line.content)
            .collect()
    }

    #[test]
    fn line_ends_are_no_text() {
        let lines = read(b"ab\r\n\nold\rmac\r\r\nlast");
        let expected = ["ab", "", "old", "mac", "", "last"].map(|line| Ok(line.to_owned()));
        assert_eq!(lines, expected);
        assert!(read(b"").is_empty());
        assert_eq!((read(b"\n").len(), read(b"\r\n").len(), read(b"a\r").len()), (1, 1, 1));
    }

    #[test]
    fn what_is_no_line_of_text_does_not_end_the_reading() {
        let lines = read(b"12345678\n123456789\n\xff\na\0\nok");
        assert_eq!(lines[0], Ok("12345678".into()));
        assert!(lines[1].as_ref().unwrap_err().contains("longer than 8 bytes"));
        assert!(lines[2].as_ref().unwrap_err().contains("not UTF-8 (byte 0)"));
        assert!(lines[3].as_ref().unwrap_err().contains("NUL byte (byte 1)"));
        assert_eq!(lines[4], Ok("ok".into()));
    }

    #[test]
    fn looking_ahead_takes_nothing_away() {
        let mut lines = lines(b"a\n\nb\n");
        let content = |line: &Line| line.content.clone().unwrap();
        assert_eq!(lines.ahead(2).unwrap().map(content).as_deref(), Some("b"));
        assert!(lines.ahead(3).unwrap().is_none());
        let all: Vec<Line> = std::iter::from_fn(|| lines.read().unwrap()).collect();
        let numbers: Vec<u64> = all.iter().map(|line| line.number).collect();
        assert_eq!(
            (numbers, all[1].is_blank(), content(&all[2])),
            (vec![1, 2, 3], true, "b".to_owned())
        );
    }
}
