//! Which line of a YAML text says which key. The parser does not tell, so block-style lines are read by indentation;
//! keys in flow style (`{a: 1}`) share the line of the key above them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Origin;

/// Lines of the keys of one document.
pub(crate) struct Lines {
    document: Arc<str>,
    texts: Vec<Arc<str>>,
    /// Index of the line by path, keys joined with `.`.
    of_path: BTreeMap<String, usize>,
}

impl Lines {
    pub(crate) fn of(document: &str, text: &str) -> Self {
        let mut of_path = BTreeMap::new();
        let mut open: Vec<(usize, &str)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let start = line.trim_start();
            let Some((key, _)) = start.split_once(':').filter(|_| !start.starts_with(['#', '-'])) else {
                continue;
            };
            let indent = line.len() - start.len();
            open.retain(|(outer, _)| *outer < indent);
            open.push((indent, key.trim().trim_matches(['"', '\''])));
            let path: Vec<&str> = open.iter().map(|(_, key)| *key).collect();
            of_path.entry(path.join(".")).or_insert(index);
        }
        Self {
            document: document.into(),
            texts: text.lines().map(Arc::from).collect(),
            of_path,
        }
    }

    /// Origin of the value at `path`, or of the nearest key above it.
    pub(crate) fn origin(&self, path: &[String]) -> Origin {
        let found = (0..=path.len())
            .rev()
            .find_map(|depth| self.of_path.get(&path[..depth].join(".")));
        self.line(found.copied().unwrap_or(0))
    }

    /// Origin of the line `index`, counted from 0.
    pub(crate) fn line(&self, index: usize) -> Origin {
        let text = self.texts.get(index).cloned().unwrap_or_else(|| "".into());
        Origin::Line {
            document: self.document.clone(),
            line: index + 1,
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_indentation() {
        let text = "# head: no\na: 1\nb:\n  c: 2\n  d: {e: 3}\n\"f\":\n  c: 4\n";
        let lines = Lines::of("x.yaml", text);
        let line = |path: &[&str]| {
            let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
            lines.origin(&path).to_string()
        };
        assert_eq!(line(&["a"]), "x.yaml:2");
        assert_eq!(line(&["b", "c"]), "x.yaml:4");
        assert_eq!(line(&["b", "d", "e"]), "x.yaml:5");
        assert_eq!(line(&["f", "c"]), "x.yaml:7");
    }
}
