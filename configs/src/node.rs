//! A tree of settings in which every value knows its origin.

use serde_yaml::Value;

use crate::Origin;
use crate::error::{Error, Result, below};
use crate::lines::Lines;

/// One value with its origin.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    pub(crate) content: Content,
}

/// The three shapes of a value.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Keys in the order in which they were first set; `only` marks a map that does not merge with lower layers.
    Map { entries: Vec<(String, Node)>, only: bool },
    /// Lists are replaced as wholes.
    List(Vec<Node>),
    /// Null, boolean, number or string.
    Scalar(Value),
}

impl Node {
    /// A map without keys.
    pub(crate) fn empty() -> Self {
        Self {
            origin: Origin::Default,
            content: Content::Map {
                entries: Vec::new(),
                only: false,
            },
        }
    }

    /// Reads a whole document; an empty one has no settings.
    pub(crate) fn parse(document: &str, text: &str) -> Result<Self> {
        let lines = Lines::of(document, text);
        let value: Value = serde_yaml::from_str(text).map_err(|e| {
            let origin = e.location().map(|at| lines.line(at.line().saturating_sub(1)));
            Error::Syntax {
                place: origin.as_ref().map_or_else(|| document.to_owned(), Origin::to_string),
                // The parser's own place repeats ours.
                reason: e.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
                snippet: below(origin.and_then(|origin| origin.snippet())),
            }
        })?;
        let refuse = |found| {
            Err(Error::NotSettings {
                document: document.to_owned(),
                found,
            })
        };
        match value {
            Value::Null => Ok(Self::empty()),
            Value::Mapping(_) | Value::Tagged(_) => {
                Self::from_value(value, &mut Vec::new(), &|path| lines.origin(path))
            }
            Value::Sequence(_) => refuse("a list"),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => refuse("a single value"),
        }
    }

    /// The assignment of the YAML text `value` to `path`; `document` names it in messages.
    pub(crate) fn assign(path: &[&str], value: &str, origin: &Origin) -> Result<Self> {
        let value: Value = serde_yaml::from_str(value).map_err(|e| Error::Syntax {
            place: origin.to_string(),
            reason: e.to_string(),
            snippet: String::new(),
        })?;
        let leaf = Self::from_value(value, &mut Vec::new(), &|_| origin.clone())?;
        Ok(path.iter().rev().fold(leaf, |node, key| Self {
            origin: origin.clone(),
            content: Content::Map {
                entries: vec![((*key).to_owned(), node)],
                only: false,
            },
        }))
    }

    fn from_value(value: Value, path: &mut Vec<String>, origin_of: &dyn Fn(&[String]) -> Origin) -> Result<Self> {
        let origin = origin_of(path);
        let wrong = |reason: String| {
            let snippet = below(origin.snippet());
            Err(Error::Value {
                place: origin.to_string(),
                reason,
                snippet,
            })
        };
        let content = match value {
            Value::Mapping(map) => {
                let mut entries = Vec::with_capacity(map.len());
                for (key, value) in map {
                    let key = match key {
                        Value::String(key) => key,
                        Value::Number(key) => key.to_string(),
                        Value::Bool(key) => key.to_string(),
                        _ => return wrong("keys must be names or numbers".to_owned()),
                    };
                    path.push(key.clone());
                    entries.push((key, Self::from_value(value, path, origin_of)?));
                    path.pop();
                }
                Content::Map { entries, only: false }
            }
            Value::Sequence(list) => {
                let items = list.into_iter().map(|value| Self::from_value(value, path, origin_of));
                Content::List(items.collect::<Result<_>>()?)
            }
            Value::Tagged(tagged) if tagged.tag == "only" => {
                let inner = Self::from_value(tagged.value, path, origin_of)?;
                match inner.content {
                    Content::Map { entries, .. } => Content::Map { entries, only: true },
                    _ => return wrong("`!only` belongs to maps; other values always replace".to_owned()),
                }
            }
            Value::Tagged(tagged) => return wrong(format!("the tag {} is unknown; there is `!only`", tagged.tag)),
            scalar => Content::Scalar(scalar),
        };
        Ok(Self { origin, content })
    }

    /// Lays `over` on top of `self`.
    pub(crate) fn merge(&mut self, over: Self) {
        let changes_type = self.tag().zip(over.tag()).is_some_and(|(old, new)| old != new);
        match (&mut self.content, over.content) {
            (
                Content::Map { entries, .. },
                Content::Map {
                    entries: new,
                    only: false,
                },
            ) if !changes_type => {
                for (key, node) in new {
                    let place = entries.iter().position(|(known, _)| *known == key);
                    match (place, node.is_null()) {
                        (Some(place), true) => {
                            entries.remove(place);
                        }
                        (Some(place), false) => entries[place].1.merge(node),
                        (None, true) => {}
                        (None, false) => {
                            let mut fresh = Self::empty();
                            fresh.merge(node);
                            entries.push((key, fresh));
                        }
                    }
                }
                self.origin = over.origin;
            }
            (_, content) => {
                *self = Self {
                    origin: over.origin,
                    content,
                }
                .without_nulls()
            }
        }
    }

    fn without_nulls(mut self) -> Self {
        if let Content::Map { entries, .. } = self.content {
            let kept = entries.into_iter().filter(|(_, node)| !node.is_null());
            let entries = kept.map(|(key, node)| (key, node.without_nulls())).collect();
            self.content = Content::Map { entries, only: false };
        }
        self
    }

    fn is_null(&self) -> bool {
        matches!(self.content, Content::Scalar(Value::Null))
    }

    /// The value of the key `type`, which decides what other keys there are.
    fn tag(&self) -> Option<String> {
        match self.get("type").map(|node| &node.content) {
            Some(Content::Scalar(Value::String(tag))) => Some(tag.clone()),
            _ => None,
        }
    }

    /// The value of `key`, if this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.content {
            Content::Map { entries, .. } => entries.iter().find(|(known, _)| known == key).map(|(_, node)| node),
            Content::List(items) => key.parse().ok().and_then(|index: usize| items.get(index)),
            Content::Scalar(_) => None,
        }
    }

    /// Takes `key` out of this map.
    pub(crate) fn take(&mut self, key: &str) -> Option<Self> {
        match &mut self.content {
            Content::Map { entries, .. } => {
                let place = entries.iter().position(|(known, _)| known == key)?;
                Some(entries.remove(place).1)
            }
            _ => None,
        }
    }

    /// Origin of the value at `path`: its own, or that of the deepest list or scalar above it.
    pub(crate) fn origin_at(&self, path: &[&str]) -> Origin {
        match path.split_first() {
            None => self.origin.clone(),
            Some((key, rest)) => match (self.get(key), &self.content) {
                (Some(node), _) => node.origin_at(rest),
                (None, Content::Map { .. }) => Origin::Default,
                (None, _) => self.origin.clone(),
            },
        }
    }
}
