//! Single passes of a network: the one that training makes over a text, and those that write the same text.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use drdiff_attention::retrieval::Units;
use drdiff_attention::{
    AttentionConfig, KvCache, LayerPlans, NoisyClean, PassLayout, Past, Pattern, PlanKind, Segment, Whole,
};
use drdiff_generation::Task;
use drdiff_kernels::Rotary;
use drdiff_model::{CachePool, CacheSizes, DenoisingNetwork, Input, Network};
use drdiff_routing::{ComputeReport, Read};
use drdiff_testkit::{Inputs, assert_close, relative_rms, values};

use crate::common::{request, write_one};

/// Text positions of a training sequence.
pub(crate) const LEN: usize = 640;
const ABSORBED: u32 = 257;

/// Text, and the same text with most of its tokens absorbed.
fn text() -> (Vec<u32>, Vec<u32>) {
    let draw = |seed, below| Inputs::new(seed).whole(LEN, below).into_iter().map(|id| id as u32);
    let clean: Vec<u32> = draw(4, 256).collect();
    let open = draw(5, 4).map(|drawn| drawn > 0);
    let noisy = clean
        .iter()
        .zip(open)
        .map(|(id, open)| if open { ABSORBED } else { *id })
        .collect();
    (clean, noisy)
}

/// What the rows of a pass read.
struct Reads<'a> {
    plan: LayerPlans,
    units: Option<Arc<Units>>,
    cache: Option<&'a mut KvCache>,
}

/// Evidence at some rows of a pass over one segment.
fn evidence(network: &Network, index: &[u32], positions: Vec<i64>, reads: Reads<'_>, rows: Range<usize>) -> Vec<f64> {
    let config = network.config();
    let rotary = Rotary::new(&[positions], config.head_dim, config.rope_base, &Device::Cpu).unwrap();
    let segment = Segment {
        batch: 1,
        len: index.len(),
        plan: reads.plan,
        units: reads.units,
        rotary: &rotary,
        past: reads.cache.map(Past::Cache),
    };
    let mut input = Input::discrete(Tensor::new(index, &Device::Cpu).unwrap());
    let rows = rows.map(|row| row as u32);
    input.read = Read::Rows(Tensor::from_iter(rows, &Device::Cpu).unwrap());
    let tables = network.tables(None).unwrap();
    let hidden = network
        .hidden(&tables, &input, &mut [segment], &mut ComputeReport::default())
        .unwrap();
    values(network.evidence(&hidden).unwrap().tensor()).unwrap()
}

/// An empty cache for a text of [`LEN`] positions in blocks of this size.
pub(crate) fn cache(network: &Network, plan: PlanKind, block_size: usize, pass: usize) -> KvCache {
    let sizes = CacheSizes {
        block_size,
        pass,
        text: LEN,
    };
    network.cache(Some(plan), sizes, &mut CachePool::default()).unwrap()
}

/// Asserts that a text goes on as if its start had been the prompt.
pub(crate) fn assert_goes_on(network: impl Fn() -> Network) {
    let whole = request(0, &"A tale. ".repeat(20), 640);
    let mut rest = whole.clone();
    let ids = write_one(network(), whole).ids;
    let Task::Continue(prompt) = &mut rest.task else {
        unreachable!()
    };
    prompt.ids.extend(&ids[..560]);
    rest.settings.tokens = 80;
    assert_eq!(write_one(network(), rest).ids, ids[560..]);
}

/// What training sees of every noisy position by a plan, `[LEN * embed]`. A window of one block is laid out alone.
pub(crate) fn trained(network: &Network, attention: &AttentionConfig, block: usize) -> Vec<f64> {
    let (clean, noisy) = text();
    if block == LEN {
        let pattern = Whole {
            attention: attention.clone(),
        };
        let reads = Reads {
            plan: pattern.plan(LEN, LEN).unwrap(),
            units: attention.whole_units(LEN).unwrap(),
            cache: None,
        };
        return evidence(network, &noisy, (0..LEN as i64).collect(), reads, 0..LEN);
    }
    let positions = (0..LEN as i64).chain(0..LEN as i64).collect();
    let pattern = NoisyClean {
        attention: attention.clone(),
        causal: false,
    };
    let reads = Reads {
        plan: pattern.plan(LEN, block).unwrap(),
        units: attention.noisy_clean_units(LEN, block).unwrap(),
        cache: None,
    };
    evidence(network, &[noisy, clean].concat(), positions, reads, 0..LEN)
}

/// [`trained`], which has to differ from what a dense plan sees.
pub(crate) fn trained_apart(network: &Network, attention: &AttentionConfig, block: usize) -> Vec<f64> {
    let wanted = trained(network, attention, block);
    let other = trained(network, &AttentionConfig::default(), block);
    let last = (LEN - 16) * network.config().embed;
    assert!(
        relative_rms("dense", &other[last..], &wanted[last..]) > 1e-3,
        "the plan matters, block {block}"
    );
    wanted
}

/// Asserts that writing the text block after block sees what training saw: `start` blocks at once, as a prompt; then
/// each as soon as it is written.
pub(crate) fn assert_written(network: &Network, cache: &mut KvCache, (block, start): (usize, usize), wanted: &[f64]) {
    let (clean, noisy) = text();
    let embed = network.config().embed;
    let mut written = 0;
    for first in (start * block..LEN).step_by(block) {
        let ahead = &noisy[first..(first + block).min(LEN)];
        let index = [&clean[written..first], ahead].concat();
        let layout = PassLayout {
            committed: cache.visible(),
            clean: first - written,
            clean_block: block,
            noisy: ahead.len(),
        };
        let positions = (written..written + index.len()).map(|p| p as i64).collect();
        let reads = Reads {
            plan: LayerPlans::from(cache.plan(layout).unwrap()).in_blocks(layout.blocks()),
            units: cache.units(layout).unwrap(),
            cache: Some(cache),
        };
        let found = evidence(network, &index, positions, reads, first - written..index.len());
        let wanted = &wanted[first * embed..(first + ahead.len()) * embed];
        assert_close(&format!("blocks of {block}, at {first}"), &found, wanted);
        cache.commit(first - written, 0).unwrap();
        written = first;
    }
}
