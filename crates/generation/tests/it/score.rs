//! Scores of texts that are given.

use drdiff_generation::{Engine, Scored};
use drdiff_model::{Network, likelihood};
use drdiff_testkit::assert_close;

use crate::common::{network, tokenizer};
use crate::next_token::autoregressive;

fn scores(network: Network, ids: &[u32]) -> (Vec<Scored>, usize) {
    let mut engine = Engine::new(network, tokenizer(), 1).unwrap();
    let mut scoring = engine.scoring(ids).unwrap();
    let unscored = scoring.unscored();
    loop {
        if let Some(scores) = engine.score(&mut scoring).unwrap() {
            return (scores, unscored);
        }
    }
}

#[test]
fn scores_are_the_likelihood() {
    // More than one pass of either kind.
    for (make, length) in [(network as fn() -> Network, 60), (autoregressive, 150)] {
        let ids: Vec<u32> = (0..length).map(|i| (i * i + 7 * i) % 251).collect();
        let (scored, unscored) = scores(make(), &ids);
        assert_eq!(scored.len() + unscored, ids.len());
        let nats: Vec<f64> = scored.iter().map(|score| -score.log_prob).collect();
        assert_close("scores", &nats, &likelihood(&make(), &ids, unscored).unwrap());
        for (score, id) in scored.iter().zip(&ids[unscored..]) {
            assert_eq!(score.token, *id);
            assert!(score.likeliest.1 >= score.log_prob);
        }
        assert!(scores(make(), &ids[..1]).0.len() < 2, "one token has nothing before it");
    }
}
