//! The language of templates: Jinja with what Hugging Face adds to it.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::super::TokenizerError;
use super::{date, json};

const NAME: &str = "chat";
/// Steps that one conversation may take: far more than any template needs for thousands of turns, a second or two.
const STEPS: u64 = 20_000_000;

/// An error of the template.
pub(super) fn failed(reason: impl Into<String>) -> TokenizerError {
    TokenizerError::Template(reason.into())
}

/// An environment that holds the template `source`.
pub(super) fn environment(source: &str) -> Result<Environment<'static>, TokenizerError> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|e| told(&e))?);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.set_fuel(Some(STEPS));
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, format!("{REFUSAL}{message}")))
    });
    environment.add_filter("tojson", json::tojson);
    // As in Python: none cannot be walked through, and texts and mappings are sequences.
    environment.add_test("iterable", |value: Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_test("sequence", |value: Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map)
    });
    set_time(&mut environment, date::DEFAULT);
    environment
        .add_template_owned(NAME, without_generation(source))
        .map_err(|e| told(&e))?;
    Ok(environment)
}

/// Sets what `strftime_now` tells.
pub(super) fn set_time(environment: &mut Environment<'static>, seconds: i64) {
    environment.add_function("strftime_now", move |form: String| {
        date::strftime(seconds, &form).map_err(|reason| Error::new(ErrorKind::InvalidOperation, reason))
    });
}

/// Lets the template write.
pub(super) fn render(environment: &Environment<'_>, context: Value) -> Result<String, TokenizerError> {
    let template = environment.get_template(NAME).map_err(|e| told(&e))?;
    template.render(context).map_err(|e| told(&e))
}

/// How errors of `raise_exception` are told from others.
const REFUSAL: &str = "\u{1}refused: ";

/// One sentence about an error.
fn told(error: &Error) -> TokenizerError {
    let mut deepest: &(dyn std::error::Error + 'static) = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let deepest = deepest.downcast_ref::<Error>().unwrap_or(error);
    let detail = deepest.detail().unwrap_or_default();
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(message) = detail.strip_prefix(REFUSAL) {
        return failed(format!(
            "refuses the conversation ({})",
            flat(message).trim_end_matches('.')
        ));
    }
    let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    failed(match error.kind() {
        ErrorKind::OutOfFuel => "works without end".to_owned(),
        ErrorKind::SyntaxError => format!("cannot be read{line} ({})", flat(detail)),
        kind if detail.is_empty() => format!("fails{line} ({kind})"),
        _ => format!("fails{line} ({})", flat(detail)),
    })
}

/// `{% generation %}` marks the assistant's words for training; here it does nothing, so it becomes a condition that
/// holds.
fn without_generation(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(open) = rest.find("{%") {
        let (before, block) = rest.split_at(open + 2);
        out.push_str(before);
        let end = block.find("%}").unwrap_or(block.len());
        let (inside, after) = block.split_at(end);
        match inside.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+') {
            "generation" => out.push_str(&inside.replacen("generation", "if true", 1)),
            "endgeneration" => out.push_str(&inside.replacen("endgeneration", "endif", 1)),
            _ => out.push_str(inside),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use minijinja::value::Serde;

    use super::*;

    fn written(source: &str) -> Result<String, String> {
        let environment = environment(source).map_err(|e| e.to_string())?;
        render(
            &environment,
            Value::from(Serde(serde_json::json!({ "a": [1, 2], "n": null }))),
        )
        .map_err(|e| e.to_string())
    }

    #[test]
    fn what_hugging_face_adds() {
        assert_eq!(written("{{ strftime_now('%d %b %Y') }}").unwrap(), "26 Jul 2024");
        assert_eq!(written("{{ a | tojson }}{{ n }}{{ true }}").unwrap(), "[1, 2]NoneTrue");
        assert_eq!(
            written("{{ n is iterable }}{{ a is iterable }}{{ 'a' is sequence }}").unwrap(),
            "FalseTrueTrue"
        );
        assert_eq!(written("x{%- generation -%} y {%- endgeneration %}z").unwrap(), "xyz");
        assert_eq!(
            written("{{ ' a'.strip() + 'b.c'.split('.')[-1] }}{{ missing }}").unwrap(),
            "ac"
        );
        assert_eq!(
            written("{% for i in a %}\n  {% if i == 2 %}{% break %}{% endif %}{{ i }}\n{% endfor %}").unwrap(),
            "1\n"
        );
    }

    #[test]
    fn failures_are_one_sentence() {
        let refused = |source: &str| written(source).unwrap_err();
        assert_eq!(
            refused("{{ raise_exception('Turns must\nalternate.') }}"),
            "the chat template refuses the conversation (Turns must alternate); give the model a plain prompt instead"
        );
        assert!(refused("{% if %}").starts_with("the chat template cannot be read in line 1 ("));
        assert!(refused("\n{{ n.x.y }}").starts_with("the chat template fails in line 2 ("));
        let endless = "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}";
        assert!(refused(endless).starts_with("the chat template works without end"));
    }
}
