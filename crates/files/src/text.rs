//! How every text is opened: packed ones are unpacked, a byte order mark is left out, and what is no text in UTF-8 is refused
//! in one sentence.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::kind::{Kind, MARK, is_utf8};
use crate::{Error, Result};

/// Bytes that are looked at to tell what a file is.
const HEAD: usize = 4 << 10;
/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;
/// zstd files written with `--long=27` and up to `--ultra --long=31` refer this far back.
const WINDOW_LOG_MAX: u32 = 31;

/// The bytes of a text without its byte order mark. They are UTF-8 as far as its beginning says.
pub type Reader = Box<dyn BufRead + Send>;

/// Opens a file of text; gzip and zstd are unpacked, whatever it is called.
///
/// # Errors
/// If it cannot be read, or its first bytes say that it is something else than text in UTF-8.
pub fn open(path: &Path) -> Result<Reader> {
    let file = File::open(path).map_err(Error::file("read", path))?;
    stream(file, path)
}

/// As [`open`], of anything that can be read; `path` is for messages, and `-` stands for stdin there.
///
/// # Errors
/// As [`open`].
pub fn stream(source: impl Read + Send + 'static, path: &Path) -> Result<Reader> {
    decoded(Box::new(source), path, false)
}

/// The whole text of a file.
///
/// # Errors
/// As [`open`], and if it is not UTF-8 to its end.
pub fn read(path: &Path) -> Result<String> {
    whole(open(path)?, path)
}

/// The whole text of a reader that [`open`] or [`stream`] gave for `path`.
///
/// # Errors
/// If it cannot be read or is not UTF-8.
pub fn whole(mut reader: Reader, path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(Error::file("read", path))?;
    utf8(bytes, path)
}

/// The text of `bytes`, which came from `path`.
///
/// # Errors
/// If they are not UTF-8.
pub fn utf8(bytes: Vec<u8>, path: &Path) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        Error::foreign(
            path,
            format!("not UTF-8 (byte {offset})"),
            "convert it, for example with `iconv -t utf-8`",
        )
    })
}

fn decoded(mut source: Box<dyn Read + Send>, path: &Path, unpacked: bool) -> Result<Reader> {
    let mut head = beginning(&mut source).map_err(Error::file("read", path))?;
    let kind = Kind::of(&head[..line_end(&head).unwrap_or(head.len())]);
    if kind == (Kind::Text { mark: true }) {
        head.drain(..MARK.len());
    }
    let all = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(source));
    match kind {
        Kind::Text { .. } => Ok(Box::new(all)),
        Kind::Gzip | Kind::Zstd if unpacked => Err(Error::foreign(
            path,
            "packed twice",
            "unpack it once, with `gzip -d` or `zstd -d`",
        )),
        Kind::Gzip => decoded(Box::new(MultiGzDecoder::new(all)), path, true),
        Kind::Zstd => {
            let decoder = zstd::Decoder::with_buffer(all).and_then(|mut decoder| {
                decoder.window_log_max(WINDOW_LOG_MAX)?;
                Ok(decoder)
            });
            decoded(Box::new(decoder.map_err(Error::file("read", path))?), path, true)
        }
        Kind::Foreign(what, remedy) => Err(Error::foreign(path, what, remedy)),
    }
}

/// The first bytes of a source: so many that its first line is whole, and at most [`HEAD`]. Whoever writes into a pipe
/// line by line is not kept waiting for more.
fn beginning(source: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    let mut filled = 0;
    while filled < HEAD && line_end(&head[..filled]).is_none() {
        match source.read(&mut head[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(filled);
    Ok(head)
}

/// Where the first line ends that is not blank, if all up to there is UTF-8. What a source is must be told from the same
/// bytes, in whatever pieces they come.
fn line_end(head: &[u8]) -> Option<usize> {
    let first = head.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let end = first + head[first..].iter().position(|byte| *byte == b'\n')? + 1;
    is_utf8(&head[..end]).then_some(end)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Gives its pieces one by one, as a pipe does.
    struct Pipe(Vec<&'static [u8]>);

    impl Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    fn text(bytes: &[u8]) -> Result<String> {
        let path = Path::new("in.txt");
        whole(stream(Cursor::new(bytes.to_vec()), path)?, path)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_mark_is_no_part_of_a_text_and_packed_text_is_unpacked() {
        let marked = "\u{feff}The old\r\nhouse é".as_bytes();
        let plain = "The old\r\nhouse é";
        assert_eq!(text(marked).unwrap(), plain);
        assert_eq!(text(&gzip(marked)).unwrap(), plain);
        assert_eq!(text(&[gzip(b"a\n"), gzip(b"b\n")].concat()).unwrap(), "a\nb\n");
        assert_eq!(text(&zstd::encode_all(marked, 1).unwrap()).unwrap(), plain);
        // Only one mark, and only at the beginning.
        assert_eq!(text("\u{feff}\u{feff}a".as_bytes()).unwrap(), "\u{feff}a");
        assert_eq!(text(b"").unwrap(), "");
    }

    #[test]
    fn what_is_no_text_is_refused_in_a_sentence() {
        let told = |bytes: &[u8]| text(bytes).unwrap_err().to_string();
        assert_eq!(
            told(b"caf\xe9"),
            "in.txt is not UTF-8 (byte 3); convert it, for example with `iconv -t utf-8`"
        );
        assert_eq!(
            told(b"\xff\xfeT\0"),
            "in.txt is not UTF-8 but UTF-16; convert it with `iconv -f utf-16 -t utf-8`"
        );
        assert!(told(&gzip(b"T\0h\0e\0")).contains("utf-16le"));
        assert!(told(&gzip(&gzip(b"a"))).contains("packed twice"));
        assert!(told(&gzip(b"The old house")[..20]).contains("cannot read in.txt"));
        // A first line without NUL bytes hides none behind it, where it is not UTF-8.
        assert!(told(b"\x01\x80\x3f\x62\n\0T\0h\0e\0").contains("utf-16le"));
    }

    #[test]
    fn a_line_that_came_is_given_before_the_next_one_is_waited_for() {
        struct Never;
        impl Read for Never {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                panic!("nobody needs more than a line")
            }
        }
        let pipe = Pipe(vec![b"\n", b"{\"prompt\"", b": 1}\n"]).chain(Never);
        let mut line = String::new();
        let mut reader = stream(pipe, Path::new("-")).unwrap();
        reader.read_line(&mut line).unwrap();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "\n{\"prompt\": 1}\n");
    }
}
