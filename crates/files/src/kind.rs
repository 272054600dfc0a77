//! What a file is, told from its first bytes and never from its name.

/// The first bytes of a file that begins with a byte order mark of UTF-8.
pub(crate) const MARK: &[u8] = b"\xef\xbb\xbf";

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text in UTF-8, or at least nothing that is known to be another thing.
    Text {
        /// It begins with a byte order mark, which is no part of it.
        mark: bool,
    },
    /// Packed by gzip.
    Gzip,
    /// Packed by zstd.
    Zstd,
    /// No text that can be read: what it is, and what to do.
    Foreign(&'static str, &'static str),
}

/// Known by bytes that no text begins with.
const BINARY: [(&[u8], &str, &str); 10] = [
    (b"\xfd7zXZ\0", "packed by xz", "unpack it with `xz -d`"),
    (b"\x89PNG", "a picture", "name a file of text"),
    (b"\x04\x22\x4d\x18", "packed by lz4", "unpack it with `lz4 -d`"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it first"),
    (
        b"PK\x03\x04",
        "a ZIP archive, as the files of office programs are",
        "unpack it, or save its text as UTF-8",
    ),
    (
        b"\xd0\xcf\x11\xe0",
        "a document of an office program",
        "save its text as UTF-8",
    ),
    (b"%PDF-", "a PDF", "take its text out with `pdftotext`"),
    (b"{\\rtf", "rich text (RTF)", "save it as plain text in UTF-8"),
    (
        b"SQLite format 3\0",
        "an SQLite database",
        "export its rows as JSON lines",
    ),
];

/// Known by letters that a text could begin with, too: what comes behind them must not be text.
const LETTERS: [(&[u8], &str, &str); 4] = [
    (b"PAR1", "a Parquet file", "export its rows as JSON lines"),
    (b"ARROW1", "an Arrow file", "export its rows as JSON lines"),
    (b"GGUF", "a model in GGUF", "name a file of text"),
    (b"BZh", "packed by bzip2", "unpack it with `bzip2 -d`"),
];

impl Kind {
    /// Tells what a file is that begins with `head`.
    pub(crate) fn of(head: &[u8]) -> Self {
        if head.starts_with(MARK) {
            return Self::Text { mark: true };
        }
        if head.starts_with(b"\x1f\x8b") {
            return Self::Gzip;
        }
        // A frame, or a frame that is to be skipped, as parallel packers write first.
        if head.starts_with(b"\x28\xb5\x2f\xfd") || matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]) {
            return Self::Zstd;
        }
        let is_text = !head.contains(&0) && is_utf8(head);
        let named = BINARY.iter().chain(LETTERS.iter().filter(|_| !is_text));
        let mut named = named.filter(|(magic, ..)| head.starts_with(magic));
        if let Some((_, what, remedy)) = named.next() {
            return Self::Foreign(what, remedy);
        }
        if head.get(257..262) == Some(b"ustar") {
            return Self::Foreign("a tar archive", "unpack it with `tar -xf`");
        }
        utf16(head).unwrap_or(Self::Text { mark: false })
    }
}

/// Whether `head` is UTF-8; its last character may be cut.
pub(crate) fn is_utf8(head: &[u8]) -> bool {
    std::str::from_utf8(head).map_or_else(|e| e.error_len().is_none(), |_| true)
}

/// Text of two or four bytes a character, by its mark or by the NUL bytes that letters have there; or what is no text.
fn utf16(head: &[u8]) -> Option<Kind> {
    let marked = |bytes: &[u8]| head.starts_with(bytes);
    if marked(b"\xff\xfe\0\0") || marked(b"\0\0\xfe\xff") {
        return Some(Kind::Foreign(
            "not UTF-8 but UTF-32",
            "convert it with `iconv -f utf-32 -t utf-8`",
        ));
    }
    if marked(b"\xff\xfe") || marked(b"\xfe\xff") {
        return Some(Kind::Foreign(
            "not UTF-8 but UTF-16",
            "convert it with `iconv -f utf-16 -t utf-8`",
        ));
    }
    let [even, odd] = [0, 1].map(|first| head.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count());
    match (even, odd) {
        (0, 0) => None,
        (0, _) => Some(Kind::Foreign(
            "not UTF-8 but UTF-16 without a byte order mark, or binary: it holds NUL bytes",
            "convert it with `iconv -f utf-16le -t utf-8`",
        )),
        (_, 0) => Some(Kind::Foreign(
            "not UTF-8 but UTF-16 without a byte order mark, or binary: it holds NUL bytes",
            "convert it with `iconv -f utf-16be -t utf-8`",
        )),
        _ => Some(Kind::Foreign(
            "binary: it holds NUL bytes",
            "name a file of text in UTF-8",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(head: &[u8]) -> String {
        match Kind::of(head) {
            Kind::Foreign(what, remedy) => format!("{what}; {remedy}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn encodings_are_told_by_marks_and_by_nul_bytes() {
        assert_eq!(Kind::of(b"\xef\xbb\xbfThe"), Kind::Text { mark: true });
        assert_eq!(Kind::of("Café".as_bytes()), Kind::Text { mark: false });
        assert_eq!(Kind::of(b""), Kind::Text { mark: false });
        assert!(told(b"\xff\xfeT\0").contains("iconv -f utf-16 -t utf-8"));
        assert!(told(b"\xfe\xff\0T").contains("iconv -f utf-16 -t utf-8"));
        assert!(told(b"\xff\xfe\0\0T\0\0\0").contains("UTF-32"));
        assert!(told(b"T\0h\0e\0").contains("utf-16le"));
        assert!(told(b"\0T\0h\0e").contains("utf-16be"));
        // Cyrillic has a NUL only at its spaces.
        assert!(told(b"\x21\x04\x42\x04 \0\x34\x04").contains("utf-16le"));
        assert!(told(b"\0\0\x01\x02").contains("binary"));
    }

    #[test]
    fn packed_and_foreign_files_are_told_by_name() {
        assert_eq!(Kind::of(b"\x1f\x8b\x08"), Kind::Gzip);
        assert_eq!(Kind::of(b"\x28\xb5\x2f\xfd\x04"), Kind::Zstd);
        assert_eq!(Kind::of(b"\x50\x2a\x4d\x18"), Kind::Zstd);
        assert!(told(b"PK\x03\x04\x14").contains("ZIP"));
        assert!(told(b"%PDF-1.7\n").contains("pdftotext"));
        assert!(told(b"PAR1\x15\0\x15").contains("Parquet"));
        assert!(told(b"{\\rtf1\\ansi").contains("RTF"));
    }

    #[test]
    fn words_that_begin_like_a_magic_number_are_text() {
        for text in ["PAR1 was the first race.", "GGUF", "BZh is no word", "PK and I", "7z"] {
            assert_eq!(Kind::of(text.as_bytes()), Kind::Text { mark: false }, "{text}");
        }
    }
}
