//! Prompts that end in a space.

use drdiff_generation::{Engine, Event, Output, Request, StopReason, Task};

use crate::common::{certain_of, network, request, tokenizer, write_one};

/// Writes one text and gives back what was streamed of it, too.
fn run(network: drdiff_model::Network, request: Request) -> (Output, String) {
    let mut engine = Engine::new(network, tokenizer(), 1).unwrap();
    engine.submit(request).unwrap();
    let mut streamed = String::new();
    loop {
        for event in engine.step().unwrap() {
            match event {
                Event::BlockCommitted { text, .. } => streamed.push_str(&text),
                Event::Finished { output, .. } => return (output, streamed),
                Event::Failed { error, .. } => panic!("{error}"),
                Event::Pass { .. } => {}
            }
        }
    }
}

fn behind(prompt: &str, tokens: usize) -> Request {
    Request {
        task: Task::behind(prompt, &tokenizer()).unwrap(),
        ..request(3, "", tokens)
    }
}

#[test]
fn the_tokens_are_those_behind_the_prompt_without_its_spaces() {
    for prompt in ["The cat ", "The cat   ", "\u{feff}The cat"] {
        let plain = write_one(network(), behind("The cat", 24));
        let (output, streamed) = run(network(), behind(prompt, 24));
        assert_eq!(output.ids, plain.ids, "{prompt:?}");
        assert_eq!(streamed, output.text);
    }
    let marks = write_one(network(), behind("A\r\n\r\ncat\r", 24));
    assert_eq!(marks, write_one(network(), behind("A\n\ncat\n", 24)));
    assert_ne!(marks.ids, write_one(network(), behind("A\n\ncat", 24)).ids);
}

#[test]
fn the_text_begins_without_the_space_that_stands_in_the_prompt() {
    let space = || certain_of(u32::from(b' '));
    assert_eq!(run(space(), behind("The cat", 4)).0.text, "    ");
    let (output, streamed) = run(space(), behind("The cat ", 4));
    assert_eq!(
        (output.text.as_str(), streamed.as_str(), output.ids.len()),
        ("   ", "   ", 4)
    );
    // What does not begin with a space loses nothing.
    assert_eq!(run(certain_of(u32::from(b'x')), behind("The cat ", 4)).0.text, "xxxx");

    let mut stopped = behind("The cat ", 16);
    stopped.settings.stop = vec!["  ".to_owned()];
    let (output, streamed) = run(space(), stopped);
    assert_eq!(
        (output.stop, output.text.as_str(), streamed.as_str()),
        (StopReason::Stop, "", "")
    );
    assert_eq!(output.ids.len(), 1, "the space is a token of the text");
}

#[test]
fn a_nul_is_no_text() {
    assert!(
        Task::behind("T\0h\0e\0", &tokenizer())
            .unwrap_err()
            .to_string()
            .contains("NUL")
    );
    assert!(
        Task::within("a\0 [[3]]", &tokenizer())
            .unwrap_err()
            .to_string()
            .contains("NUL")
    );
}

#[test]
fn spaces_before_a_gap_belong_to_it() {
    let canvas = |text| match Task::within(text, &tokenizer()).unwrap() {
        Task::Infill(canvas) => canvas,
        Task::Continue(_) => unreachable!(),
    };
    assert_eq!(canvas("a   [[2]] b\r\n"), canvas("a[[2]] b\n"));
    assert_ne!(canvas("a [[2]]b"), canvas("a [[2]] b"));
}
