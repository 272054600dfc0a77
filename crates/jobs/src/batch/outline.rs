//! The outline of a line that is not read as JSON: which value stands under a key of its outermost object.
//!
//! Programs write `NaN`, numbers that are too large, values within values without end, or a comma too many. All of that is
//! refused, but such a line still has an id.

use serde_json::Value;

/// The value of `key` in the outermost object, where its end is there; the last one of several, as in JSON. Does not look into other
/// values, and goes no deeper on the stack for values within values.
pub(super) fn value_of(line: &str, key: &str) -> Option<Value> {
    let mut rest = line.trim_ascii().strip_prefix('{')?.trim_ascii_start();
    let mut found = None;
    loop {
        if let Some(behind) = rest.strip_prefix('}') {
            return found.filter(|_| behind.is_empty());
        }
        let (name, behind) = rest.split_at(string(rest)?);
        let value = behind.trim_ascii_start().strip_prefix(':')?;
        let (value, behind) = value.split_at(end(value)?);
        if serde_json::from_str::<String>(name).is_ok_and(|name| name == key) {
            found = serde_json::from_str(value).ok();
        }
        rest = behind.strip_prefix(',').unwrap_or(behind).trim_ascii_start();
    }
}

/// The length of the string that `text` begins with, quotes included.
fn string(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = inside.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    Some(end + 2)
}

/// Where the value ends that `text` begins with: before the comma or bracket that is not its own.
fn end(text: &str) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match text.as_bytes().get(at)? {
            b'"' => {
                at += string(&text[at..])?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_that_are_not_read_have_an_id() {
        for line in [
            r#"{"id": "a", "temperature": NaN}"#,
            r#" {"x": [{"id": 1}, "}"], "id" : "a" , "seed": 1e400 } "#,
            r#"{"prompt": "say \"id\": \\", "id": "a",}"#,
            r#"{"id": "b", "id": "a", "tokens": 08}"#,
        ] {
            assert!(
                serde_json::from_str::<Value>(line).is_err() || line.starts_with(' '),
                "{line}"
            );
            assert_eq!(value_of(line, "id"), Some(json!("a")), "{line}");
        }
        let deep = format!(
            "{{\"prompt\": {}1{}, \"id\": 7}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert_eq!(value_of(&deep, "id"), Some(json!(7)));
    }

    #[test]
    fn what_is_cut_off_or_something_else_has_none() {
        for line in [
            "",
            "{",
            "{}",
            "id",
            "{\"id\": \"a\"",
            "{\"id\": \"a",
            "{\"id\"}",
            "{'id': 'a'}",
            "[\"id\"]",
            "{\"x\": {\"id\": \"a\"}}",
            "{\"id\": \"a\"} more",
            "{\"id\": \"a\"]",
            "{\"id\": NaN}",
        ] {
            assert_eq!(value_of(line, "id"), None, "{line}");
        }
    }
}
