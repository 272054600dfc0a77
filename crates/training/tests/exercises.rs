//! What exercises hold, and that training reads them.

use drdiff_training::Exercises;

#[test]
fn numbers_that_make_no_sense_are_named() {
    let message = |change: fn(&mut Exercises), context| {
        let mut exercises = Exercises {
            recall: 0.5,
            copy: 0.2,
            ..Exercises::default()
        };
        change(&mut exercises);
        exercises.validate(context).unwrap_err().to_string()
    };
    assert!(message(|e| e.copy = 0.6, 512).contains("at most 1"));
    assert!(message(|e| e.needles = [3, 2], 512).contains("fewer needles first"));
    assert!(message(|e| e.questions = 0, 512).contains("questions"));
    assert!(message(|e| e.needles = [1, 5000], 512).contains("at most 1000"));
    assert!(message(|e| e.hops = 40, 512).contains("at most 1000"));
    assert!(message(|e| e.hops = 14, 512).contains("14 hops"));
    assert!(message(|e| e.questions = usize::MAX, 512).contains("need"));
    assert!(message(|_| (), 64).contains("need"));
    assert!(Exercises::default().validate(8).is_ok(), "none");
}
