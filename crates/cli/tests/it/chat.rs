//! `drdiff chat`: conversations of lines on stdin.

use serde_json::{Value, json};

use crate::fixture::{RunExt, drdiff, fixture};

/// A model folder with a chat template.
fn talkative() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["model.safetensors", "tokenizer.json"] {
        std::fs::copy(fixture().model().join(name), folder.path().join(name)).unwrap();
    }
    let template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
    std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    let config = json!({ "eos_token": "<|end|>" }).to_string();
    std::fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
    folder
}

fn chat(model: &std::path::Path, args: &[&str], lines: &str) -> crate::fixture::Ran {
    let mut command = drdiff();
    command
        .args(["chat", "-n", "6", "--no-stop"])
        .args(args)
        .arg("--model")
        .arg(model);
    command.run_with(lines.as_bytes())
}

#[test]
fn answers_follow_messages_and_can_be_written_again_and_saved() {
    let model = talkative();
    let saved = model.path().join("talk.jsonl");
    let lines = format!(
        "The miller\n/again\nA cat\n/undo\n/save {}\n/quit\nnever read\n",
        saved.display()
    );
    let ran = chat(model.path(), &["--seed", "3", "--system", "Be kind"], &lines);
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let talk: Value = serde_json::from_str(&std::fs::read_to_string(&saved).unwrap()).unwrap();
    let messages = talk["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["system", "user", "assistant"]);
    let kept = messages[2]["content"].as_str().unwrap();
    assert!(ran.stdout().contains(kept), "{kept:?} in {:?}", ran.stdout());
    // The second answer is that of the next seed.
    let next = chat(model.path(), &["--seed", "4", "--system", "Be kind"], "The miller\n");
    assert_eq!(next.stdout().trim_end_matches('\n'), kept.trim_end_matches('\n'));
}

#[test]
fn what_cannot_be_is_told_and_the_conversation_goes_on() {
    let model = talkative();
    let ran = chat(
        model.path(),
        &[],
        "/set steps many\n/set stepz 3\n/nonsense\n/save\nHello\n",
    );
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    for told in [
        "a whole number is wanted",
        "did you mean `steps`",
        "there is no /nonsense",
        "the name of a file",
    ] {
        assert!(ran.stderr().contains(told), "{told}: {}", ran.stderr());
    }
    assert!(!ran.stdout().is_empty());
    chat(&fixture().model(), &[], "Hello\n").fails(2, &["no chat template", "drdiff generate"]);
}
