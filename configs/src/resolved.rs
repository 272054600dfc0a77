//! A configuration with the origin of every value.

use std::fmt::Write;

use serde_yaml::{Mapping, Value};

use crate::node::Node;
use crate::{Error, Origin, Result, Section};

/// Column at which origins begin.
const COLUMN: usize = 44;

/// A decoded configuration that still knows its layers.
#[derive(Clone, Debug)]
pub struct Resolved<T> {
    /// The configuration.
    pub value: T,
    pub(crate) tree: Node,
}

impl<T: Section> Resolved<T> {
    /// Origin of the value at `path` (keys joined with `.`).
    pub fn origin(&self, path: &str) -> Origin {
        self.tree.origin_at(&path.split('.').collect::<Vec<_>>())
    }

    /// Every value as YAML that can be read back, defaults included; `origins` adds where each came from.
    ///
    /// # Errors
    /// A type that cannot be written as YAML, which no shipped configuration is.
    pub fn show(&self, origins: bool) -> Result<String> {
        let unwritable = |e: serde_yaml::Error| Error::Invalid {
            section: T::NAME,
            reason: e.to_string(),
        };
        let mut text = String::new();
        if let Value::Mapping(map) = serde_yaml::to_value(&self.value).map_err(unwritable)? {
            self.lines(&map, &mut Vec::new(), origins, &mut text);
        }
        Ok(text)
    }

    fn lines(&self, map: &Mapping, path: &mut Vec<String>, origins: bool, text: &mut String) {
        for (key, value) in map {
            let key = inline(key);
            let mut line = format!("{:1$}{key}:", "", 2 * path.len());
            path.push(key);
            match value {
                Value::Mapping(inner) if !inner.is_empty() => {
                    text.push_str(&line);
                    text.push('\n');
                    self.lines(inner, path, origins, text);
                }
                value => {
                    line += &format!(" {}", inline(value));
                    if origins {
                        line = format!("{line:<COLUMN$} # {}", self.origin(&path.join(".")));
                    }
                    let _never_fails = writeln!(text, "{line}");
                }
            }
            path.pop();
        }
    }
}

/// A value on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::Sequence(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Mapping(map) => {
            let entries: Vec<_> = map
                .iter()
                .map(|(key, value)| format!("{}: {}", inline(key), inline(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        // A string as JSON is YAML on one line whatever it holds; plain words need no quotes.
        Value::String(text) if !is_plain(text) => serde_json::Value::from(text.as_str()).to_string(),
        scalar => serde_yaml::to_string(scalar).unwrap_or_default().trim_end().to_owned(),
    }
}

fn is_plain(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(word)
}
