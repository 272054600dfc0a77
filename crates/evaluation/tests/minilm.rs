//! Features with real weights, where there are some: `DRDIFF_MINILM=folder cargo test -p drdiff-evaluation --test minilm`.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;

use drdiff_evaluation::features::{Features, MiniLm};
use drdiff_testkit::assert_close;

#[test]
fn rows_equal_those_of_transformers() {
    // Without weights there is nothing to test.
    let Some(folder) = std::env::var_os("DRDIFF_MINILM") else {
        return;
    };
    let model = MiniLm::open(Path::new(&folder)).unwrap();
    let row = |text: &str| -> Vec<f64> { model.embed(text).unwrap().into_iter().map(f64::from).collect() };
    let cat = row("The cat sat on the mat and looked out of the window.");
    // PyTorch 2.15, transformers' AutoModel, mean of the last states over their length; the second text is cut at 256 tokens.
    let first = [0.138_310_83, 0.064_557_32, -0.057_002_977, 0.088_545_33];
    assert_close("cat", &cat[..4], &first);
    let second = [-0.008_123_65, -0.095_585_97, -0.038_673_144, 0.049_661_96];
    assert_close("cut", &row(&"word ".repeat(400))[..4], &second);

    let near = |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
    let kitten = row("A kitten sits on a rug and watches the street.");
    let bank = row("The central bank raised its interest rate by half a point.");
    assert!(near(&cat, &kitten) > near(&cat, &bank) + 0.2);
}
