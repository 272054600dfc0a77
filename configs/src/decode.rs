//! From the tree to a type. A deserializer of our own, because the errors of the ready-made ones are only text: here
//! an unknown key arrives with the names that would be right and with its path, hence with its origin.

use std::fmt::{self, Display};

use crate::nearest;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_yaml::Value;

use crate::error::{Error, below};
use crate::node::{Content, Node};

/// Reads a `T` out of the tree.
pub(crate) fn decode<T: DeserializeOwned>(root: &Node) -> Result<T, Error> {
    T::deserialize(Reader(root)).map_err(|failure| {
        let path: Vec<&str> = failure.path.iter().rev().map(String::as_str).collect();
        let origin = root.origin_at(&path);
        Error::Value {
            place: origin.to_string(),
            reason: failure.problem.explain(&path),
            snippet: below(origin.snippet()),
        }
    })
}

/// What went wrong, and at which keys (innermost first, for they are added on the way out).
#[derive(Debug)]
struct Failure {
    path: Vec<String>,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    UnknownKey {
        known: &'static [&'static str],
    },
    UnknownName {
        name: String,
        known: &'static [&'static str],
    },
    Missing(&'static str),
    Other(String),
}

impl Problem {
    fn explain(&self, path: &[&str]) -> String {
        let place = path.join(".");
        let list = |known: &[&str]| known.join(", ");
        match self {
            Self::UnknownKey { known } => {
                let name = path.last().copied().unwrap_or_default();
                match nearest(name, known.iter().copied()) {
                    Some(name) => format!("unknown key `{place}`; did you mean `{name}`?"),
                    None => format!("unknown key `{place}`; known here: {}", list(known)),
                }
            }
            Self::UnknownName { name, known } => match nearest(name, known.iter().copied()) {
                Some(nearest) => format!("`{place}` cannot be `{name}`; did you mean `{nearest}`?"),
                None => format!("`{place}` cannot be `{name}`; there are: {}", list(known)),
            },
            Self::Missing(key) if place.is_empty() => format!("the key `{key}` is missing; give it a value"),
            Self::Missing(key) => format!("`{place}` lacks the key `{key}`; give it a value"),
            Self::Other(reason) if place.is_empty() => reason.clone(),
            Self::Other(reason) => format!("`{place}`: {reason}"),
        }
    }
}

impl Failure {
    fn new(problem: Problem) -> Self {
        Self {
            path: Vec::new(),
            problem,
        }
    }

    fn within(mut self, key: &str) -> Self {
        self.path.push(key.to_owned());
        self
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.explain(&[]))
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(Problem::Other(message.to_string()))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownKey { known }).within(field)
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownName {
            name: name.to_owned(),
            known,
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Problem::Missing(field))
    }
}

#[derive(Clone, Copy)]
struct Reader<'a>(&'a Node);

impl<'de> de::Deserializer<'de> for Reader<'de> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.content {
            Content::Map { entries, .. } => visitor.visit_map(Entries { entries, next: 0 }),
            Content::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Content::Scalar(Value::Bool(value)) => visitor.visit_bool(*value),
            Content::Scalar(Value::String(value)) => visitor.visit_borrowed_str(value),
            Content::Scalar(Value::Number(value)) => match (value.as_u64(), value.as_i64(), value.as_f64()) {
                (Some(value), ..) => visitor.visit_u64(value),
                (_, Some(value), _) => visitor.visit_i64(value),
                (.., Some(value)) => visitor.visit_f64(value),
                _ => Err(de::Error::custom("a number out of range")),
            },
            Content::Scalar(_) => visitor.visit_unit(),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.content {
            Content::Scalar(Value::Null) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match &self.0.content {
            Content::Map { entries, .. } => {
                visitor.visit_enum(MapAccessDeserializer::new(Entries { entries, next: 0 }))
            }
            Content::Scalar(Value::String(name)) => {
                visitor.visit_enum(IntoDeserializer::<Failure>::into_deserializer(name.as_str()))
            }
            _ => Err(de::Error::custom("a name was expected")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Entries<'a> {
    entries: &'a [(String, Node)],
    next: usize,
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        let Some((key, _)) = self.entries.get(self.next) else {
            return Ok(None);
        };
        seed.deserialize(Key(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let (key, node) = &self.entries[self.next];
        self.next += 1;
        seed.deserialize(Reader(node)).map_err(|failure| failure.within(key))
    }
}

struct Items<'a> {
    items: &'a [Node],
    next: usize,
}

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let Some(node) = self.items.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        seed.deserialize(Reader(node))
            .map(Some)
            .map_err(|failure| failure.within(&(self.next - 1).to_string()))
    }
}

/// A key: a name, or a number where the type's keys are numbers.
struct Key<'a>(&'a str);

macro_rules! numeric_keys {
    ($($method:ident $visit:ident $type:ty),+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            match self.0.parse::<$type>() {
                Ok(key) => visitor.$visit(key),
                Err(_) => Err(Failure::new(Problem::Other("this key must be a whole number".to_owned())).within(self.0)),
            }
        }
    )+};
}

impl<'de> de::Deserializer<'de> for Key<'de> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        StrDeserializer::<Failure>::new(self.0).deserialize_any(visitor)
    }

    numeric_keys!(deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64, deserialize_i64 visit_i64 i64);

    forward_to_deserialize_any! {
        bool i8 i16 i32 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}
