//! `drdiff export`, `inspect` and `completions`.

use crate::fixture::{RunExt, drdiff, fixture};

#[test]
fn an_exported_model_writes_and_explains_itself() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("model.gguf");
    let export = drdiff()
        .arg("export")
        .arg(fixture().model())
        .arg("-o")
        .arg(&file)
        .arg("--with-tokenizer")
        .run();
    export.succeeds();
    assert!(export.stderr().contains("hash"));
    let small = std::fs::metadata(&file).unwrap().len();
    let large = std::fs::metadata(fixture().model().join("model.safetensors"))
        .unwrap()
        .len();
    assert!(small < large, "{small} bytes, from {large}");

    let write = || {
        drdiff()
            .args(["generate", "Nobody", "--tokens", "16", "--model"])
            .arg(dir.path())
            .run()
            .succeeds()
    };
    assert_eq!(write(), write());

    let json = drdiff().args(["inspect", "--json"]).arg(&file).run().json();
    assert_eq!(json["metadata"]["step"], 7);
    let dtype = |name: &str| {
        let rows = json["tensors"].as_array().unwrap();
        rows.iter().find(|row| row["name"] == name).unwrap()["dtype"].clone()
    };
    assert_eq!(dtype("embedding"), "q8_0");
    drdiff()
        .arg("export")
        .arg(&file)
        .arg("-o")
        .arg(dir.path().join("again.gguf"))
        .run()
        .fails(2, &["already"]);
}

#[test]
fn inspect_tells_of_weights_and_corpora() {
    let text = drdiff().arg("inspect").arg(fixture().model()).run().succeeds();
    for word in [
        "parameters",
        "tokens seen       1,234",
        "written by        revision abc",
        "embedding",
    ] {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
    let text = drdiff().arg("inspect").arg(fixture().corpus()).run().succeeds();
    let vocabulary = format!("vocabulary  {}", fixture().vocabulary);
    for word in [&vocabulary, "train   tales", "valid   tales"] {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
    drdiff()
        .args(["inspect", "/nowhere"])
        .run()
        .fails(2, &["there is no model at /nowhere"]);
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(
            drdiff()
                .args(["completions", shell])
                .run()
                .succeeds()
                .contains("block-size"),
            "{shell}"
        );
    }
}

#[test]
fn every_help_text_ends_with_the_exit_codes() {
    for command in [
        &["generate"][..],
        &["batch"],
        &["batch", "status"],
        &["data", "prepare"],
        &["train"],
        &["export"],
        &["inspect"],
        &["config", "show"],
    ] {
        let text = drdiff().args(command).arg("--help").run().succeeds();
        assert!(
            text.contains("Example") && text.contains("75  interrupted"),
            "{command:?}: {text}"
        );
    }
}
