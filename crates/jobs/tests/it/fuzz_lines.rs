//! Lines and texts with gaps that nobody would write: nothing panics, and each line gives a text or one error.
//!
//! `PROPTEST_CASES` says how many lines and texts are tried.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use drdiff_generation::settings::SETTINGS;
use drdiff_generation::{Engine, Error, GAP, Task};
use drdiff_jobs::batch::{BatchError, Input, InputFormat, Job, Shard, Store, verify};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::batch::{manifest, records};
use crate::common::{network, tokenizer};

/// Lines of one job.
const LINES: u32 = 50;

/// As many cases of `inputs` inputs each as were asked for, or `usual`.
fn config(usual: u32, inputs: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(usual).div_ceil(inputs),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3_i64..20).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(vec![0.5, 1.0, 2.0, 8.0, 8.5, -0.0, 1e3, 1e18, 1e300]).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(vec![
            "",
            "8",
            "auto",
            "gaussian",
            "absorbing",
            "margin",
            "entropy-bound:0.2",
            "threshold:2",
            "sde",
            "dense",
            "retrieval",
            "tree",
            "a [[2]] b",
            "[[1000000]]",
            "/v1/completions",
            "/v1/chat/completions",
            "POST"
        ])
        .prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key(), inner), 0..4).prop_map(|pairs| Value::Object(Map::from_iter(pairs))),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    let known = [
        "id",
        "custom_id",
        "method",
        "url",
        "body",
        "prompt",
        "infill",
        "messages",
        "content",
        "role",
        "type",
        "text",
        "n",
        "max_tokens",
        "max_completion_tokens",
        "diffusion",
        "suffix",
        "tools",
        "bound",
        "above",
        "logprobs",
    ];
    let settings = SETTINGS.iter().map(|setting| setting.name);
    let known: Vec<&str> = known.into_iter().chain(settings).collect();
    prop_oneof![9 => select(known).prop_map(str::to_owned), 1 => any::<String>()]
}

/// A usable line in either form, whose id is one of a few.
fn usable(format: InputFormat) -> impl Strategy<Value = Map<String, Value>> {
    (0..200_u32, "[a-c \u{0}é]{0,4}", 1..6_u32).prop_map(move |(id, prompt, tokens)| {
        let line = match (format, id % 4) {
            (InputFormat::OpenAi, 0) => {
                json!({ "custom_id": id, "url": "/v1/chat/completions", "body": { "messages": [{ "content": prompt }], "max_tokens": tokens } })
            }
            (InputFormat::OpenAi, _) => {
                json!({ "custom_id": format!("r{id}"), "body": { "prompt": prompt, "max_tokens": tokens } })
            }
            (_, 0) => json!({ "id": id, "infill": format!("{prompt}[[{tokens}]]") }),
            (_, _) => json!({ "id": format!("r{id}"), "prompt": prompt, "tokens": tokens }),
        };
        line.as_object().expect("an object was made").clone()
    })
}

/// The object in which the settings of a line stand.
fn settings(line: &mut Map<String, Value>) -> &mut Map<String, Value> {
    match line.contains_key("body") {
        true => line["body"].as_object_mut().expect("an object was made"),
        false => line,
    }
}

/// A line: a usable one, one with some fields changed, one with bytes changed, any JSON or anything.
fn line(format: InputFormat) -> impl Strategy<Value = Vec<u8>> {
    let changed =
        (usable(format), vec((key(), value()), 1..3), any::<bool>()).prop_map(|(mut line, fields, inside)| {
            let map = if inside { settings(&mut line) } else { &mut line };
            map.extend(fields);
            Value::Object(line).to_string()
        });
    let torn = (usable(format), vec((any::<prop::sample::Index>(), any::<u8>()), 1..3)).prop_map(|(line, bytes)| {
        let mut text = Value::Object(line).to_string().into_bytes();
        for (at, byte) in bytes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        text
    });
    let words = select(vec![
        "NaN",
        "-Infinity",
        "1e400",
        "None",
        "01",
        "[[[[",
        "\"\\ud800\"",
        "1,,2",
        "{}}",
    ]);
    let foreign = (usable(format), key(), words).prop_map(|(line, key, word)| {
        let text = Value::Object(line).to_string();
        format!("{},{}:{word}}}", &text[..text.len() - 1], json!(key))
    });
    let line = prop_oneof![
        3 => usable(format).prop_map(|line| Value::Object(line).to_string().into_bytes()),
        6 => changed.prop_map(String::into_bytes),
        2 => torn,
        2 => foreign.prop_map(String::into_bytes),
        1 => value().prop_map(|value| value.to_string().into_bytes()),
        1 => vec(any::<u8>(), 0..40),
    ];
    line.prop_map(|mut line| {
        line.retain(|byte| !matches!(byte, b'\n' | b'\r'));
        line
    })
}

fn read(lines: &[Vec<u8>], format: InputFormat) -> Input {
    let source = io::Cursor::new(lines.join(&b'\n'));
    Input::new(Box::new(source), Path::new("-"), Some(format)).unwrap()
}

/// Whether a file is refused as a whole: it is binary, or of another kind.
fn is_foreign(lines: &[Vec<u8>], format: InputFormat) -> bool {
    let source = io::Cursor::new(lines.join(&b'\n'));
    let input = Input::new(Box::new(source), Path::new("-"), Some(format));
    matches!(input, Err(BatchError::Files(drdiff_files::Error::Foreign { .. })))
}

/// Runs a job and gives its error records. Without an engine nothing may be left to write.
fn errors(dir: &Path, lines: &[Vec<u8>], format: InputFormat, engine: Option<Engine>) -> Vec<Value> {
    let mut manifest = manifest(1, &["a".to_owned()]);
    manifest.input_format = format;
    // Nothing that is usable takes long.
    manifest.settings.tokens = 2;
    manifest.settings.sampler.steps = 1;
    let store = Store::open(dir, manifest, Shard::WHOLE, false).unwrap();
    let mut job = Job::new(store, read(lines, format), engine, LINES as usize);
    while job.step().unwrap() {}
    job.finish().unwrap();
    let text = fs::read_to_string(dir.join("errors-00000-of-00001.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The id that a line names, if it is JSON and names one that is plain.
fn named(line: &[u8], format: InputFormat) -> Option<String> {
    let key = if format == InputFormat::OpenAi {
        "custom_id"
    } else {
        "id"
    };
    match serde_json::from_slice::<Value>(line).ok()?.get(key)? {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) if !id.is_f64() => Some(id.to_string()),
        _ => None,
    }
}

/// Whether a request would keep the test busy for long: it writes thousands of tokens.
fn is_long(line: &[u8]) -> bool {
    fn is_large(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.as_f64().is_some_and(|x| (65.0..2e6).contains(&x)),
            Value::Object(map) => map.iter().any(|(key, value)| !key.ends_with("id") && is_large(value)),
            Value::Array(list) => list.iter().any(is_large),
            _ => false,
        }
    }
    serde_json::from_slice(line).is_ok_and(|line| is_large(&line))
}

fn check(lines: Vec<Vec<u8>>, format: InputFormat) -> Result<(), TestCaseError> {
    let lines: Vec<Vec<u8>> = lines.into_iter().filter(|line| !is_long(line)).collect();
    if is_foreign(&lines, format) {
        return Ok(());
    }
    let dir = tempfile::tempdir().unwrap();
    // All at once: the fewest passes.
    let engine = Engine::new(network(), tokenizer_of_bytes().clone(), LINES as usize).unwrap();
    let told = errors(dir.path(), &lines, format, Some(engine));
    let texts = records(dir.path());
    let mut by_line = BTreeMap::new();
    for error in &told {
        let line = error["line"].as_u64().unwrap();
        prop_assert!(by_line.insert(line, error).is_none(), "line {line} has two errors");
        let reason = error["error"].as_str().unwrap();
        for word in ["usize", "u64", "f64", "untagged", "variant", "struct "] {
            prop_assert!(!reason.contains(word), "{reason}");
        }
    }
    for (line, number) in lines.iter().zip(1..) {
        let blank = std::str::from_utf8(line).is_ok_and(|text| text.trim_start_matches('\u{feff}').trim().is_empty());
        let error = by_line.get(&number);
        let id = named(line, format);
        let shown = String::from_utf8_lossy(line);
        match (&id, error) {
            _ if blank => prop_assert!(error.is_none()),
            (Some(id), Some(error)) => prop_assert_eq!(error["id"].as_str(), Some(id.as_str()), "{}", shown),
            (Some(id), None) => {
                // A line that says once more what an earlier one said is that request.
                let fails = told.iter().any(|error| error["id"] == id.as_str());
                prop_assert!(texts.contains_key(id) || fails, "{} has neither text nor error", shown);
            }
            (None, _) => {}
        }
    }
    let served = lines.len() - told.len();
    prop_assert!(texts.len() <= served, "{} texts of {served} lines", texts.len());
    // Told again by a second run, no more and no less.
    prop_assert_eq!(&errors(dir.path(), &lines, format, None), &told);
    let found = verify(dir.path(), Some(&mut read(&lines, format))).unwrap();
    prop_assert_eq!(found.told, Vec::<String>::new());
    Ok(())
}

proptest! {
    #![proptest_config(config(10_000, LINES))]

    #[test]
    fn lines_of_our_form_give_a_text_or_an_error(lines in vec(line(InputFormat::Drdiff), LINES as usize)) {
        check(lines, InputFormat::Drdiff)?;
    }

    #[test]
    fn lines_of_openai_give_a_text_or_an_error(lines in vec(line(InputFormat::OpenAi), LINES as usize)) {
        check(lines, InputFormat::OpenAi)?;
    }
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "[",
            "[[",
            "]",
            "]]",
            "[[]]",
            "[[…]]",
            "[[ 3 ]]",
            "[[0]]",
            "[[1000000]]",
            "[[1000001]]",
            " ",
            "\u{0}"
        ])
        .prop_map(str::to_owned),
        (0..40_u32).prop_map(|len| format!("[[{len}]]")),
        "[a-z é\u{0}-9\\[\\]]{0,6}",
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(config(10_000, 1))]

    #[test]
    fn texts_with_gaps_keep_all_that_is_given(pieces in vec(piece(), 0..8)) {
        let text = pieces.concat();
        match Task::within(&text, tokenizer_of_bytes()) {
            Ok(Task::Continue(_)) => prop_assert!(false, "no gap is left"),
            Ok(Task::Infill(canvas)) => {
                // Texts are cleaned before they are read.
                let text = drdiff_files::plain(&text);
                let given: Vec<u32> = canvas.iter().flatten().copied().collect();
                let open = canvas.len() - given.len();
                prop_assert!(open > 0);
                // What is given are bytes of the text in their order, and gaps are no longer than is written.
                let mut bytes = text.bytes();
                for token in given {
                    prop_assert!(bytes.any(|byte| u32::from(byte) == token), "{token} is not given");
                }
                let opened = text.char_indices().filter_map(|(at, _)| text[at..].strip_prefix("[["));
                let inside = opened.filter_map(|rest| Some(rest.split_once("]]")?.0));
                let lens = inside.map(|inside| inside.trim().parse().unwrap_or(GAP));
                let asked = lens.fold(0, usize::saturating_add);
                prop_assert!(open <= asked, "{open} of {asked}");
            }
            Err(Error::EmptyGap | Error::NoGap | Error::Length { .. }) => {}
            Err(Error::Nul) => prop_assert!(text.contains('\0')),
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

/// The tokenizer, which is made once.
fn tokenizer_of_bytes() -> &'static drdiff_data::Tokenizer {
    static MADE: std::sync::OnceLock<drdiff_data::Tokenizer> = std::sync::OnceLock::new();
    MADE.get_or_init(tokenizer)
}
