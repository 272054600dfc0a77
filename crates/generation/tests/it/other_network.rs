//! A network of another kind behind the engine, which knows no more of it than the trait says.

use candle_core::{DType, Device, Tensor};
use drdiff_attention::{Bank, CacheShape, KvCache, PlanKind};
use drdiff_generation::{Compute, Engine};
use drdiff_model::{
    CachePool, CacheSizes, Capabilities, DenoisingNetwork, NetworkOutput, NetworkSpec, Result, Rows, TokenBatch,
    Visible,
};
use drdiff_routing::ComputeReport;
use drdiff_solver::Process;

use crate::common::{request, tokenizer, write, write_one};

const VOCAB: usize = 257;

/// Knows the alphabet: the letter of a position is that of its place in the text.
struct Alphabet(NetworkSpec);

impl Alphabet {
    fn new() -> Self {
        Self(NetworkSpec {
            vocab: VOCAB,
            embed: 1,
            context: 64,
            layers: 1,
            routing: Default::default(),
            plan: PlanKind::Dense,
            capabilities: Capabilities {
                masks: true,
                soft: false,
                self_condition: false,
                next_token: false,
                causal_context: false,
            },
        })
    }
}

impl DenoisingNetwork for Alphabet {
    fn spec(&self) -> &NetworkSpec {
        &self.0
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn unit_rows(&self) -> Result<Option<Tensor>> {
        Ok(None)
    }

    fn cache(&self, _: Option<PlanKind>, sizes: CacheSizes, _: &mut CachePool) -> Result<KvCache> {
        let shape = CacheShape {
            layers: 0,
            kv_heads: 1,
            head_dim: 1,
            dtype: DType::F32,
            device: self.device(),
        };
        let bank = Bank::new(shape, (self.0.context, sizes.pass), 1)?;
        Ok(KvCache::seated(&bank)?.unwrap())
    }

    fn forward(
        &self,
        batch: &TokenBatch,
        caches: &mut [&mut KvCache],
        _: &mut CachePool,
        _: &mut ComputeReport,
    ) -> Result<Option<NetworkOutput>> {
        assert_eq!(batch.segments().len(), caches.len());
        let mut logits = vec![0f32; batch.asked().len() * VOCAB];
        for (row, logits) in batch.asked().iter().zip(logits.chunks_exact_mut(VOCAB)) {
            let row = *row as usize;
            assert_eq!(batch.index()[row], VOCAB as u32, "an absorbed position");
            let text = batch.segments().iter().find(|text| text.rows.contains(&row)).unwrap();
            let position = text.positions[row - text.rows.start];
            logits[usize::from(b'a') + position as usize % 26] = 50.0;
        }
        let logits = Tensor::from_vec(logits, (batch.asked().len(), VOCAB), self.device())?;
        Ok(Some(NetworkOutput { logits, data: None }))
    }

    fn flops(&self, rows: &Rows, _: &Visible) -> (u64, u64) {
        (rows.all as u64, 0)
    }
}

#[test]
fn it_writes_alone_and_beside_others() {
    let alone = write_one(Alphabet::new(), request(0, "ab", 30));
    assert_eq!(alone.text, "cdefghijklmnopqrstuvwxyzabcdef");
    assert!(alone.flops > 30);
    let requests = vec![request(0, "ab", 30), request(1, "", 5)];
    let texts: Vec<String> = write(Alphabet::new(), 2, requests)
        .into_iter()
        .map(|(_, output)| output.text)
        .collect();
    assert_eq!(texts, [alone.text.as_str(), "abcde"]);
}

#[test]
fn what_it_cannot_do_is_refused() {
    let mut engine = Engine::new(Alphabet::new(), tokenizer(), 1).unwrap();
    let mut refused = |process, self_condition, compute| {
        let mut settings = request(0, "", 8).settings;
        settings.sampler.process = process;
        settings.self_condition = self_condition;
        settings.compute = compute;
        engine
            .check(&settings)
            .map_or_else(|error| error.to_string(), |()| String::new())
    };
    assert_eq!(refused(Process::Absorbing, false, Compute::default()), "");
    assert!(refused(Process::Gaussian, false, Compute::default()).contains("no soft positions"));
    assert!(refused(Process::Absorbing, true, Compute::default()).contains("its last prediction"));
    assert!(refused(Process::Absorbing, false, Compute::Share(0.5)).contains("no routed experts"));
}
