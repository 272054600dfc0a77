//! The examples run and do what they say. `cargo test` builds them beside this test.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::process::Command;

/// What an example prints.
fn run(name: &str) -> String {
    let here = std::env::current_exe().unwrap();
    let target = here.ancestors().nth(2).unwrap();
    let path = target
        .join("examples")
        .join(name)
        .with_extension(std::env::consts::EXE_EXTENSION);
    let ran = Command::new(&path).output().unwrap_or_else(|error| {
        panic!(
            "{}: {error}; `cargo test` builds the examples, `cargo test --test` does not",
            path.display()
        )
    });
    assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn a_text_is_written_and_streamed() {
    let text = run("write");
    assert!(text.starts_with("The old house") && text.len() > 60, "{text}");
}

#[test]
fn many_prompts_are_written_on_from() {
    let texts = run("batch");
    assert!(
        texts.contains("The lighthouse") && texts.contains("At midnight"),
        "{texts}"
    );
}

#[test]
fn a_model_is_trained_and_writes() {
    let text = run("train");
    assert!(text.contains("step 40: "), "{text}");
}
