//! `drdiff generate --infill`.

use crate::fixture::{RunExt, generate};

#[test]
fn given_text_stays_on_both_sides() {
    let ran = generate(&["--infill", "The miller [[6]] the river.", "--json"]).run();
    let json = ran.json();
    let text = json["text"].as_str().unwrap();
    assert!(
        text.starts_with("The miller") && text.ends_with(" the river."),
        "{text:?}"
    );
    assert!(text.len() > "The miller the river.".len(), "{text:?}");
}

#[test]
fn several_gaps_are_filled_at_once() {
    let text = generate(&["--infill", "Nobody [[3]] sold [[…]] the key."])
        .run()
        .succeeds();
    assert!(
        text.starts_with("Nobody") && text.contains(" sold") && text.ends_with(" the key.\n"),
        "{text:?}"
    );
}

#[test]
fn gaps_that_cannot_be_filled_are_refused() {
    generate(&["--infill", "no gap"])
        .run()
        .fails(2, &["no gap to fill", "[[8]]"]);
    generate(&["--infill", "a [[0]] b"]).run().fails(2, &["[[0]]"]);
    generate(&["--infill", "a [[9999]] b"])
        .run()
        .fails(2, &["longer than the 64", "part by part"]);
}
