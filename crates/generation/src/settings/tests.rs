//! The table against what it describes.

use std::collections::BTreeSet;

use drdiff_attention::PlanKind;
use drdiff_model::NetworkSpec;
use drdiff_solver::{DraftLength, ReabsorbConfig};
use serde_json::{Map, Value, json};

use super::*;
use crate::request::LONGEST;
use crate::{Request, Task};

/// Settings in which everything is there.
fn full() -> Settings {
    let mut settings = Settings {
        attention: Some(PlanKind::Dense),
        compute: Compute::Share(0.5),
        ..Settings::default()
    };
    settings.sampler.reabsorb = Some(ReabsorbConfig::default());
    settings.sampler.draft_length = DraftLength::Tokens(4);
    settings
}

fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        // What has a type is chosen as a whole.
        Value::Object(map) if !map.contains_key("type") => {
            for (key, value) in map {
                leaves(value, &format!("{path}.{key}"), found);
            }
        }
        _ => {
            found.insert(path[1..].to_owned());
        }
    }
}

#[test]
fn every_setting_that_there_is_has_one_place_in_the_table() {
    let mut there = BTreeSet::new();
    leaves(&json!(full()), "", &mut there);
    let told: Vec<&str> = SETTINGS
        .iter()
        .map(|setting| setting.path)
        .filter(|path| !path.is_empty())
        .collect();
    let told_once: BTreeSet<String> = told.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!((told_once.len(), &told_once), (told.len(), &there));
    let names: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
    assert_eq!(names.len(), SETTINGS.len());
}

#[test]
fn values_are_put_where_they_are_read() {
    for setting in SETTINGS {
        let value = setting.value(&full());
        let chosen = Choices::default().with(setting.name, value.clone());
        assert_eq!(chosen.get(setting.name), Some(&value), "{}", setting.name);
        let settings = chosen.over(&Choices::default().with("reabsorb_below", 0.3));
        let settings = settings.resolve(NetworkKind::Masked).unwrap();
        assert_eq!(setting.value(&settings), value, "{}", setting.name);
        let map = Map::from_iter([(setting.name.to_owned(), value)]);
        assert_eq!(Choices::from_json(map).unwrap(), chosen, "{}", setting.name);
        let again: Choices = serde_json::from_value(json!(chosen)).unwrap();
        assert_eq!(again, chosen, "{}", setting.name);
    }
}

/// Whether a request with this setting is served, in a process that uses it.
fn served(setting: &Setting, value: Value) -> bool {
    let process = setting.concerns.processes.iter().find(|process| process.is_soft());
    let process = process.unwrap_or(&Process::Absorbing).name();
    let chosen = Choices::default()
        .with("process", process)
        .with("reabsorb_below", 0.3)
        .with(setting.name, value);
    let settings = chosen.resolve(NetworkKind::Masked);
    let request = settings.map(|settings| Request::new(0, Task::Continue(vec![0].into()), settings));
    request.and_then(|request| request.check(LONGEST, 1)).is_ok()
}

#[test]
fn ranges_are_those_of_the_checks() {
    for setting in SETTINGS {
        let (inside, outside): (Vec<Value>, Vec<Value>) = match setting.kind {
            Kind::Whole(least, most) => {
                let beyond = [least.checked_sub(1), most.checked_add(1)];
                let most = Some(most).filter(|most| *most < u64::MAX);
                let ends = [Some(least), most].into_iter().flatten();
                (
                    ends.map(Value::from).collect(),
                    beyond.into_iter().flatten().map(Value::from).collect(),
                )
            }
            Kind::Number(Range { least, closed, most }) => {
                let first = if closed { least } else { least.next_up() };
                let beyond = [if closed { least.next_down() } else { least }, most.next_up()];
                let finite = |list: [f64; 2]| list.into_iter().filter(|x| x.is_finite()).map(Value::from).collect();
                (
                    finite([first, most]),
                    finite(beyond.map(|x| if x.abs() == f64::MAX { f64::NAN } else { x })),
                )
            }
            _ => continue,
        };
        for value in inside {
            assert!(served(setting, value.clone()), "{} is {value}", setting.name);
        }
        for value in outside {
            assert!(!served(setting, value.clone()), "{} is {value}", setting.name);
        }
    }
}

#[test]
fn names_of_a_kind_are_read_and_others_refused() {
    for setting in SETTINGS {
        if let Kind::Name(names) = setting.kind {
            for name in names() {
                assert_eq!(setting.parse(name), Ok(json!(name)));
            }
            assert!(setting.parse("nonsense").is_err());
        }
    }
}

#[test]
fn wrong_names_and_values_are_told() {
    let told = |value: Value| match value {
        Value::Object(map) => Choices::from_json(map).unwrap_err(),
        _ => unreachable!("the test gives objects"),
    };
    assert!(told(json!({ "stepz": 1 })).contains("did you mean `steps`?"));
    assert!(told(json!({ "quality": 1 })).contains("known here: tokens, process"));
    assert!(told(json!({ "steps": "four" })).contains("`steps`: a whole number is wanted, not \"four\""));
    assert!(told(json!({ "process": "gausian" })).contains("`process`: unknown process"));
}

#[test]
fn later_choices_replace_earlier_ones() {
    let (sde, third) = (
        Choices::default().with("solver", "sde-2m"),
        Choices::default().with("order", 3),
    );
    let solver = |choices: Choices| choices.resolve(NetworkKind::Masked).unwrap().sampler.solver.name();
    assert_eq!(solver(third.over(&sde)), "sde-3m", "an order keeps the family");
    assert_eq!(
        solver(sde.over(&third)),
        "sde-2m",
        "a solver of one order replaces another order"
    );
}

/// Fingerprints of finished requests are compared with those of lines that are read again, by later versions too.
#[test]
fn choices_are_written_in_the_order_in_which_they_came_to_be() {
    let all = json!({
        "tokens": 1, "steps": 2, "block_size": 3, "process": "gaussian", "solver": "sde", "order": 3, "commit": { "type": "margin" },
        "temperature": 1, "top_p": 0.25, "frequency_penalty": 0.75, "seed": 4, "stop_at_end": false, "self_condition": true,
        "style_guidance": 2.0, "attention": "length_adaptive", "compute": 0.5, "stop": "x", "pace": "cosine",
    });
    let choices: Choices = serde_json::from_value(all).unwrap();
    assert_eq!(
        serde_json::to_string(&choices).unwrap(),
        r#"{"tokens":1,"steps":2,"block_size":3,"process":"gaussian","solver":"sde","order":3,"commit":"margin","temperature":1.0,"top_p":0.25,"frequency_penalty":0.75,"seed":4,"stop_at_end":false,"self_condition":true,"style_guidance":2.0,"attention":"length_adaptive","compute":0.5,"stop":["x"],"pace":"cosine"}"#
    );
}

#[test]
fn the_page_is_current() {
    assert_eq!(
        page(),
        include_str!("../../../../docs/reference/settings.md"),
        "write it anew: drdiff config settings > docs/reference/settings.md"
    );
}

#[test]
fn a_network_is_of_one_kind_in_memory_and_in_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    for (next_token, mask, kind) in [
        (false, "learned", NetworkKind::Masked),
        // An adapted language model: it has a mask, and its clean rows predict next tokens.
        (true, "learned", NetworkKind::Autoregressive),
        (true, "absent", NetworkKind::Autoregressive),
    ] {
        let config: drdiff_model::ModelConfig = serde_json::from_value(json!({
            "vocab": 8, "width": 8, "embed": 8, "layers": 1, "heads": 1, "kv_heads": 1, "head_dim": 8, "hidden": 8, "context": 8,
            "head": "tied", "mask": mask, "causal_context": true, "next_token": next_token,
        }))
        .unwrap();
        assert_eq!(NetworkKind::of(&NetworkSpec::from(&config)), kind);
        let metadata = drdiff_model::Metadata {
            config,
            step: 0,
            tokens: 0,
            tokenizer_hash: String::new(),
            commit: String::new(),
            training: json!(null),
        };
        let path = dir.path().join(drdiff_model::WEIGHTS[1]);
        drdiff_model::save_checkpoint(&path, &metadata, &[]).unwrap();
        assert_eq!(NetworkKind::at(&path), kind);
        assert_eq!(NetworkKind::at(dir.path()), kind);
    }
    assert_eq!(NetworkKind::at(&dir.path().join("nothing")), NetworkKind::default());
}
