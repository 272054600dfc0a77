//! JSON values as tables and client libraries write them, and what to say where another kind is wanted.

use serde_json::{Map, Number, Value};

/// From here on not every whole number has a floating-point form of its own, so one that was written with a point may be
/// another than was meant.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Takes out what says nothing and writes whole numbers as such, at any depth: a `null` in an object is as good as absent, and
/// `8.0` is 8.
pub fn tidy(map: Map<String, Value>) -> Map<String, Value> {
    map.into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key, tidied(value)))
        .collect()
}

/// A value with all objects within it [tidy], and whole numbers written as such.
pub fn tidied(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(tidy(map)),
        Value::Array(list) => Value::Array(list.into_iter().map(tidied).collect()),
        Value::Number(number) => Value::Number(whole(&number).unwrap_or(number)),
        other => other,
    }
}

/// The whole number that was written with a point or an exponent.
fn whole(number: &Number) -> Option<Number> {
    let x = number.as_f64().filter(|_| number.is_f64())?;
    (x.fract() == 0.0 && x.abs() < EXACT).then(|| Number::from(x as i64))
}

/// An error of serde in a user's words: no types of the program, and no place within the value.
pub fn words(error: &serde_json::Error) -> String {
    let told = error.to_string();
    let wrong = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|kind| told.strip_prefix(kind)?.rsplit_once(", expected "));
    match wrong {
        Some((found, expected)) => {
            let (found, wanted) = (self::found(found), wanted(expected));
            match found.parse() {
                Ok(x) if wanted == WHOLE && (x < 0.0 || f64::abs(x) >= EXACT) => {
                    format!(
                        "a whole number from 0 to {} without a point is wanted, not {found}",
                        u64::MAX
                    )
                }
                _ => format!("{wanted} is wanted, not {found}"),
            }
        }
        None => told
            .replace("unknown variant", "unknown name")
            .replace("missing field", "there is no"),
    }
}

const WHOLE: &str = "a whole number";

/// What was given, as it stands in the line.
fn found(found: &str) -> &str {
    let written = ["floating point ", "integer ", "boolean ", "string "];
    match written.iter().find_map(|kind| found.strip_prefix(kind)) {
        Some(value) => value.trim_matches('`'),
        None => match found {
            "map" => "an object",
            "sequence" => "a list",
            "unit value" => "null",
            other => other,
        },
    }
}

/// What serde expected, whose words are names of types.
fn wanted(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => WHOLE,
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "variant identifier" | "identifier" | "field identifier" => "a name",
        "a string" => "text",
        "a sequence" => "a list",
        other if other.contains("struct ") => "an object",
        other if other.contains("enum ") => "a name",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::*;

    #[test]
    fn nulls_are_absent_and_numbers_without_fraction_whole() {
        let Value::Object(map) = json!({
            "a": null, "b": 8.0, "c": { "d": null, "e": [null, 1e3, -0.0] }, "f": 8.5, "g": u64::MAX, "h": 1e18,
        }) else {
            unreachable!("an object was written");
        };
        let tidied = Value::Object(tidy(map));
        let expected = json!({ "b": 8, "c": { "e": [null, 1000, 0] }, "f": 8.5, "g": u64::MAX, "h": 1e18 });
        assert_eq!(tidied, expected);
    }

    #[test]
    fn errors_name_no_types() {
        fn of<T: DeserializeOwned + std::fmt::Debug>(value: Value) -> String {
            words(&serde_json::from_value::<T>(value).unwrap_err())
        }
        assert_eq!(of::<usize>(json!(8.5)), "a whole number is wanted, not 8.5");
        assert_eq!(of::<usize>(json!("8")), "a whole number is wanted, not \"8\"");
        assert_eq!(of::<u64>(json!(true)), "a whole number is wanted, not true");
        let all = "a whole number from 0 to 18446744073709551615 without a point is wanted, not ";
        assert_eq!(of::<usize>(json!(-8)), format!("{all}-8"));
        assert!(of::<u64>(json!(1e18)).starts_with(all));
        assert_eq!(of::<f64>(json!("0.7")), "a number is wanted, not \"0.7\"");
        assert_eq!(of::<f64>(json!([1])), "a number is wanted, not a list");
        assert_eq!(of::<bool>(json!(1)), "true or false is wanted, not 1");
        assert_eq!(of::<Vec<String>>(json!([null])), "text is wanted, not null");
        assert_eq!(of::<Vec<String>>(json!({})), "a list is wanted, not an object");
        assert_eq!(
            of::<bool>(json!("a, expected b")),
            "true or false is wanted, not \"a, expected b\""
        );
    }
}
