//! The bytes of a GGUF head, taken one after another and never beyond their end.

/// What is wrong with a file, in words that complete "the file cannot be read: …".
pub(super) type Result<T> = std::result::Result<T, String>;

/// A place in the bytes of a file.
#[derive(Debug, Clone)]
pub(super) struct Bytes<'a> {
    all: &'a [u8],
    at: usize,
    /// Whether lengths have 32 bits, as in version 1 of the format, or 64.
    short: bool,
}

impl<'a> Bytes<'a> {
    /// The beginning of `all`.
    pub(super) fn new(all: &'a [u8], short: bool) -> Self {
        Self { all, at: 0, short }
    }

    /// The same bytes with lengths of 32 bits, or of 64.
    pub(super) fn with_lengths(self, short: bool) -> Self {
        Self { short, ..self }
    }

    /// Whether lengths have 32 bits.
    pub(super) fn has_short_lengths(&self) -> bool {
        self.short
    }

    /// Bytes that were taken.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.all.len() - self.at
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.all.get(self.at..end));
        let taken = taken.ok_or("it ends within its head; it is cut off, or a length in it is wrong")?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A length or a count of things that take at least `least` bytes each, so that no more are promised than can follow.
    pub(super) fn count(&mut self, least: usize, what: &str) -> Result<usize> {
        let count = if self.short {
            u64::from(self.u32()?)
        } else {
            self.u64()?
        };
        let fits = usize::try_from(count).ok().filter(|count| {
            let needed = count.checked_mul(least);
            needed.is_some_and(|needed| needed <= self.left())
        });
        fits.ok_or_else(|| format!("it promises {count} {what} and is too short for them"))
    }

    /// A size: of 32 bits in version 1 of the format, of 64 in others.
    pub(super) fn size(&mut self) -> Result<u64> {
        if self.short {
            Ok(u64::from(self.u32()?))
        } else {
            self.u64()
        }
    }

    /// The bytes of a text.
    pub(super) fn text(&mut self) -> Result<&'a [u8]> {
        let length = self.count(1, "bytes of text")?;
        self.take(length)
    }

    /// A name, which has to be UTF-8.
    pub(super) fn name(&mut self) -> Result<&'a str> {
        let text = self.text()?;
        std::str::from_utf8(text).map_err(|_| "one of its names is no UTF-8".to_owned())
    }
}
