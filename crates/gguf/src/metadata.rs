//! Values of a GGUF head. They stay in the file's bytes, so that reading them takes no memory, whatever the head promises.

use super::bytes::{Bytes, Result};

/// Lists within lists that are followed.
const DEPTH: usize = 4;

/// A value of a GGUF head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GgufValue<'a> {
    /// A whole number without a sign, of any width.
    Unsigned(u64),
    /// A whole number with a sign, of any width.
    Signed(i64),
    /// A number of 32 or 64 bits with a fraction.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// A text, which should be UTF-8.
    Text(&'a [u8]),
    /// Several values of one type.
    List(GgufList<'a>),
}

/// Several values of one type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GgufList<'a> {
    kind: u32,
    count: usize,
    items: &'a [u8],
    short: bool,
}

impl<'a> GgufValue<'a> {
    /// Reads a value of the type with this number.
    pub(super) fn read(bytes: &mut Bytes<'a>, kind: u32) -> Result<Self> {
        Self::within(bytes, kind, 0)
    }

    fn within(bytes: &mut Bytes<'a>, kind: u32, depth: usize) -> Result<Self> {
        Ok(match kind {
            0 => Self::Unsigned(bytes.u8()?.into()),
            1 => Self::Signed(bytes.u8()?.cast_signed().into()),
            2 => Self::Unsigned(bytes.u16()?.into()),
            3 => Self::Signed(bytes.u16()?.cast_signed().into()),
            4 => Self::Unsigned(bytes.u32()?.into()),
            5 => Self::Signed(bytes.u32()?.cast_signed().into()),
            6 => Self::Float(f32::from_bits(bytes.u32()?).into()),
            7 => match bytes.u8()? {
                0 => Self::Bool(false),
                1 => Self::Bool(true),
                other => return Err(format!("a value that is true (1) or false (0) in it is {other}")),
            },
            8 => Self::Text(bytes.text()?),
            9 => Self::List(GgufList::read(bytes, depth)?),
            10 => Self::Unsigned(bytes.u64()?),
            11 => Self::Signed(bytes.u64()?.cast_signed()),
            12 => Self::Float(f64::from_bits(bytes.u64()?)),
            other => return Err(format!("a value in its head is of the unknown type {other}")),
        })
    }

    /// The value as a whole number that is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::Unsigned(value) => Some(value),
            Self::Signed(value) => value.try_into().ok(),
            _ => None,
        }
    }

    /// The value as a number, whole or not.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Unsigned(value) => Some(value as f64),
            Self::Signed(value) => Some(value as f64),
            Self::Float(value) => Some(value),
            _ => None,
        }
    }

    /// The value as yes or no.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The value as a text, without zeros at its end, which some programs write; `None` also for what is no UTF-8.
    #[must_use]
    pub fn as_text(&self) -> Option<&'a str> {
        match *self {
            Self::Text(text) => std::str::from_utf8(text).ok().map(|text| text.trim_end_matches('\0')),
            _ => None,
        }
    }

    /// The value as a list.
    #[must_use]
    pub fn as_list(&self) -> Option<GgufList<'a>> {
        match *self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }
}

impl<'a> GgufList<'a> {
    /// Finds the end of a list: at once if its items have one width, else item by item.
    fn read(bytes: &mut Bytes<'a>, depth: usize) -> Result<Self> {
        if depth == DEPTH {
            return Err(format!("it has lists within lists, more than {DEPTH} deep"));
        }
        let kind = bytes.u32()?;
        let length = if bytes.has_short_lengths() { 4 } else { 8 };
        let (width, fixed) = match kind {
            0 | 1 | 7 => (1, kind != 7),
            2 | 3 => (2, true),
            4..=6 => (4, true),
            8 => (length, false),
            9 => (4 + length, false),
            10..=12 => (8, true),
            other => return Err(format!("a list in its head is of the unknown type {other}")),
        };
        let count = bytes.count(width, "values in a list")?;
        let mut behind = bytes.clone();
        if fixed {
            behind.take(count * width)?;
        } else {
            for _ in 0..count {
                GgufValue::within(&mut behind, kind, depth + 1)?;
            }
        }
        let items = bytes.take(behind.position() - bytes.position())?;
        Ok(Self {
            kind,
            count,
            items,
            short: bytes.has_short_lengths(),
        })
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = GgufValue<'a>> + use<'a> {
        let kind = self.kind;
        let mut bytes = Bytes::new(self.items, self.short);
        // The items were read once when the list was found, so none is missing.
        (0..self.count).map_while(move |_| GgufValue::read(&mut bytes, kind).ok())
    }
}
