//! One cell of a table.

use std::fmt;

/// A value, or its absence; the kind is known either way.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Words.
    Text(Option<String>),
    /// A whole number.
    Int(Option<i64>),
    /// Any number.
    Float(Option<f64>),
    /// Yes or no.
    Flag(Option<bool>),
}

impl Value {
    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(
            self,
            Self::Text(None) | Self::Int(None) | Self::Float(None) | Self::Flag(None)
        )
    }

    /// The absence of a value of this kind.
    #[must_use]
    pub fn emptied(&self) -> Self {
        match self {
            Self::Text(_) => Self::Text(None),
            Self::Int(_) => Self::Int(None),
            Self::Float(_) => Self::Float(None),
            Self::Flag(_) => Self::Flag(None),
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(value) => value.map(|value| value as f64),
            Self::Float(value) => *value,
            Self::Text(_) | Self::Flag(_) => None,
        }
    }
}

/// Nothing for an absent value; numbers so that they read back as they are.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(Some(value)) => f.write_str(value),
            Self::Int(Some(value)) => value.fmt(f),
            Self::Float(Some(value)) => value.fmt(f),
            Self::Flag(Some(value)) => value.fmt(f),
            _ => Ok(()),
        }
    }
}

macro_rules! from {
    ($($type:ty => $kind:ident($convert:expr)),+ $(,)?) => {
        $(
            impl From<Option<$type>> for Value {
                fn from(value: Option<$type>) -> Self {
                    Self::$kind(value.and_then($convert))
                }
            }

            impl From<$type> for Value {
                fn from(value: $type) -> Self {
                    Some(value).into()
                }
            }
        )+
    };
}

from! {
    String => Text(Some),
    &str => Text(|value| Some(value.to_owned())),
    usize => Int(|value| i64::try_from(value).ok()),
    u64 => Int(|value| i64::try_from(value).ok()),
    // What is not a number cannot be told from a missing one by whoever reads the file.
    f64 => Float(|value| value.is_finite().then_some(value)),
    bool => Flag(Some),
}
