//! JSON as Python writes it, because templates were trained with that.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// The filter `tojson`: characters stay as they are, `, ` and `: ` separate, `indent` breaks lines.
pub(super) fn tojson(value: Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Other options of Python's json.dumps change nothing that a conversation has.
    for name in ["ensure_ascii", "separators", "sort_keys"] {
        let _: Option<Value> = options.get(name)?;
    }
    options.assert_all_used()?;
    let mut out = String::new();
    write(&mut out, &value, indent, 0)?;
    Ok(Value::from(out))
}

fn write(out: &mut String, value: &Value, indent: Option<usize>, depth: usize) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&value.to_string()),
        ValueKind::String => write_text(out, value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            write_all(out, ('[', ']'), &items, indent, depth, |out, item| {
                write(out, item, indent, depth + 1)
            })?;
        }
        ValueKind::Map => {
            let keys: Vec<Value> = value.try_iter()?.collect();
            write_all(out, ('{', '}'), &keys, indent, depth, |out, key| {
                write_text(out, &key.to_string());
                out.push_str(": ");
                write(out, &value.get_item(key)?, indent, depth + 1)
            })?;
        }
        other => {
            let reason = format!("{other} cannot be written as JSON");
            return Err(Error::new(ErrorKind::InvalidOperation, reason));
        }
    }
    Ok(())
}

fn write_all(
    out: &mut String,
    (open, close): (char, char),
    items: &[Value],
    indent: Option<usize>,
    depth: usize,
    mut one: impl FnMut(&mut String, &Value) -> Result<(), Error>,
) -> Result<(), Error> {
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent.min(16) * depth));
        }
    };
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        match (index, indent) {
            (0, _) => {}
            (_, Some(_)) => out.push(','),
            (_, None) => out.push_str(", "),
        }
        line(out, depth + 1);
        one(out, item)?;
    }
    if !items.is_empty() {
        line(out, depth);
    }
    out.push(close);
    Ok(())
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: serde_json::Value, indent: Option<usize>) -> String {
        let mut out = String::new();
        write(&mut out, &Value::from(minijinja::value::Serde(&value)), indent, 0).unwrap();
        out
    }

    #[test]
    fn as_python_writes_it() {
        let value = serde_json::json!({ "a": "é\"\\\n<>&'\u{1}", "b": [1, 2.5, true, null, {}] });
        assert_eq!(
            written(value.clone(), None),
            r#"{"a": "é\"\\\n<>&'\u0001", "b": [1, 2.5, true, null, {}]}"#
        );
        assert_eq!(
            written(serde_json::json!([1, { "a": [] }]), Some(2)),
            "[\n  1,\n  {\n    \"a\": []\n  }\n]"
        );
    }
}
