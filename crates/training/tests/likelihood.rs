//! The likelihood of a text is one: it sums to one over what could come next, and adds up token by token.

mod common;

use candle_core::{DType, Device};
use common::{VOCAB, model};
use drdiff_kernels::{Builder, Source};
use drdiff_model::Network;
use drdiff_model::likelihood;
use drdiff_noise::Noise;
use drdiff_testkit::assert_close;

#[test]
fn what_may_come_next_has_a_probability_of_one() {
    let builder = Builder::new(Source::Init(Noise::new(1, 0)), &Device::Cpu);
    let network = Network::new(&builder, &model(VOCAB, true), DType::F32).unwrap();
    let ids: Vec<u32> = (0..20).map(|i| i * i % VOCAB as u32).collect();
    let whole = likelihood(&network, &ids, 3).unwrap();
    assert_eq!(whole.len(), 17);
    let mut total = 0.0;
    for token in 0..VOCAB as u32 {
        let mut ids = ids[..8].to_vec();
        ids.push(token);
        // Nothing behind a token and no choice of what is asked for changes what it is worth.
        let last = likelihood(&network, &ids, 8).unwrap();
        total += (-last[0]).exp();
        ids.truncate(8);
        if token == 24 {
            assert_close("behind more text", &last, &whole[5..6]);
        }
    }
    assert_close("sum over the vocabulary", &[total], &[1.0]);
}
