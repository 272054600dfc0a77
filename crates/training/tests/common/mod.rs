//! A corpus of small stories, small networks, and the comparison of what runs wrote.
#![allow(dead_code, unused_imports, reason = "each test program uses its part of this module")]

mod files;
mod network;

use std::ops::ControlFlow;

use drdiff_data::{Corpus, PrepareOptions, TokenizerChoice, prepare};
use drdiff_testkit::Stories;

pub(crate) use files::{assert_same, bits};
pub(crate) use network::{
    LEN, VOCAB, config, gradients, learn, model, number, one_batch, one_batch_from, one_batch_of, retrieving,
};

/// A corpus of the small stories, and the folder that it lies in.
pub(crate) fn corpus() -> (Stories, Corpus) {
    let stories = Stories::write();
    let options = PrepareOptions {
        tokenizer: TokenizerChoice::Train { vocab_size: 600 },
        valid_share: Some(0.0),
        ..PrepareOptions::default()
    };
    let out = stories.out();
    let go_on = &mut |_| ControlFlow::Continue(());
    prepare(&stories.train, &stories.valid, &out, &options, go_on).expect("the stories are good input");
    let corpus = Corpus::open(out).expect("the corpus was just written");
    (stories, corpus)
}
