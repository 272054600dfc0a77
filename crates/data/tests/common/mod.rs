//! A corpus of small stories.
#![allow(dead_code, unused_imports, reason = "each test program uses its part of this module")]

use std::ops::ControlFlow;

use drdiff_data::{Corpus, PrepareOptions, TokenizerChoice, prepare};
pub(crate) use drdiff_testkit::{Stories, line, names, story};

/// A vocabulary that the small texts can fill.
pub(crate) const VOCABULARY: usize = 600;

/// Options that suit the small texts.
pub(crate) fn options() -> PrepareOptions {
    let tokenizer = TokenizerChoice::Train { vocab_size: VOCABULARY };
    PrepareOptions {
        tokenizer,
        valid_share: Some(0.0),
        ..PrepareOptions::default()
    }
}

/// Prepares the stories with `options`.
pub(crate) fn prepared(stories: &Stories, options: &PrepareOptions) -> Corpus {
    let out = stories.out();
    let go_on = &mut |_| ControlFlow::Continue(());
    prepare(&stories.train, &stories.valid, &out, options, go_on).expect("the stories are good input");
    Corpus::open(out).expect("the corpus was just written")
}
