use candle_core::{Result, Tensor, Var};
use drdiff_kernels::naive::{self, AttentionShape};
use drdiff_kernels::{KeyCode, QueryCode, TilePlan, Visibility, tile_attention};
use drdiff_testkit::{Inputs, assert_close, assert_gradient, tensor, values};
use std::sync::Arc;

const SCALE: f64 = 0.3;

struct Case {
    shape: AttentionShape,
    batch: Vec<Visibility>,
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
    weights: Vec<f64>,
}

impl Case {
    fn new(shape: AttentionShape, batch: Vec<Visibility>) -> Self {
        let mut inputs = Inputs::new((shape.queries * 1000 + shape.keys) as u64);
        let queries = shape.batch * shape.queries * shape.heads * shape.width;
        let keys = shape.batch * shape.keys * shape.key_heads * shape.width;
        Self {
            shape,
            batch,
            q: inputs.numbers(queries),
            k: inputs.numbers(keys),
            v: inputs.numbers(keys),
            weights: inputs.numbers(queries),
        }
    }

    fn twin(&self, q: &[f64], k: &[f64], v: &[f64]) -> (Vec<f64>, Vec<f64>) {
        naive::attention(q, k, v, self.shape, &self.batch, SCALE)
    }

    fn loss(&self, q: &[f64], k: &[f64], v: &[f64]) -> f64 {
        self.twin(q, k, v)
            .0
            .iter()
            .zip(&self.weights)
            .map(|(out, weight)| out * weight)
            .sum()
    }

    fn vars(&self) -> Result<[Var; 3]> {
        let AttentionShape {
            batch,
            queries,
            keys,
            heads,
            key_heads,
            width,
        } = self.shape;
        let var = |numbers: &[f64], shape: [usize; 4]| Var::from_tensor(&tensor(numbers, &shape)?);
        let key_shape = [batch, keys, key_heads, width];
        Ok([
            var(&self.q, [batch, queries, heads, width])?,
            var(&self.k, key_shape)?,
            var(&self.v, key_shape)?,
        ])
    }

    /// Compares output, log-sum-exp and all gradients with the twin.
    fn check(&self) -> Result<()> {
        let plan = Arc::new(TilePlan::new(&self.batch).unwrap());
        let [q, k, v] = self.vars()?;
        let attention = tile_attention(&q, &k, &v, &plan, SCALE).unwrap();
        let (out, lse) = self.twin(&self.q, &self.k, &self.v);
        assert_close("out", &values(&attention.out)?, &out);
        assert_close("lse", &values(&attention.lse)?, &lse);
        let weights = tensor(&self.weights, attention.out.dims())?;
        let grads = (attention.out * weights)?.sum_all()?.backward()?;
        let [dq, dk, dv] = [&q, &k, &v].map(|var| values(grads.get(var).unwrap()).unwrap());
        assert_gradient("dq", |q| self.loss(q, &self.k, &self.v), &self.q, &dq);
        assert_gradient("dk", |k| self.loss(&self.q, k, &self.v), &self.k, &dk);
        assert_gradient("dv", |v| self.loss(&self.q, &self.k, v), &self.v, &dv);
        Ok(())
    }
}

fn shape(batch: usize, queries: usize, keys: usize, heads: [usize; 2], width: usize) -> AttentionShape {
    let [heads, key_heads] = heads;
    AttentionShape {
        batch,
        queries,
        keys,
        heads,
        key_heads,
        width,
    }
}

/// The noisy half of a training layout: blocks that see themselves both ways and clean keys before them.
fn blocks(length: usize, size: usize) -> Visibility {
    let noisy = |i: usize| (i / size) as i32;
    let clean = |i: usize| KeyCode {
        time: (i / size) as i32,
        group: -1,
    };
    let own = |i: usize| KeyCode {
        time: i32::MAX,
        group: noisy(i),
    };
    Visibility {
        queries: (0..length)
            .map(|i| QueryCode {
                limit: noisy(i) - 1,
                group: noisy(i),
            })
            .collect(),
        keys: (0..length).map(own).chain((0..length).map(clean)).collect(),
    }
}

#[test]
fn dense_attention_matches_its_twin_on_odd_shapes() -> Result<()> {
    for (queries, keys) in [(1, 1), (1, 200), (7, 63), (64, 64), (63, 65), (65, 7)] {
        Case::new(
            shape(1, queries, keys, [2, 1], 8),
            vec![Visibility::dense(queries, keys)],
        )
        .check()?;
    }
    Ok(())
}

#[test]
fn sparse_attention_matches_its_twin() -> Result<()> {
    Case::new(shape(2, 70, 140, [2, 2], 6), vec![blocks(70, 16)]).check()?;
    Case::new(shape(2, 65, 130, [4, 2], 4), vec![blocks(65, 1), blocks(65, 64)]).check()
}

#[test]
fn random_plans_match_the_twin() -> Result<()> {
    use proptest::strategy::{Strategy, ValueTree};
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..6 {
        let batch = crate::plan::batches().new_tree(&mut runner).unwrap().current();
        let (queries, keys) = (batch[0].queries.len(), batch[0].keys.len());
        Case::new(shape(batch.len(), queries, keys, [1, 1], 3), batch).check()?;
    }
    Ok(())
}

#[test]
fn queries_without_keys_give_zeros() -> Result<()> {
    let mut visibility = Visibility::dense(70, 70);
    visibility.queries[3] = QueryCode::PADDING;
    visibility.queries[66] = QueryCode::PADDING;
    visibility.keys[10] = KeyCode::PADDING;
    let case = Case::new(shape(1, 70, 70, [1, 1], 4), vec![visibility]);
    case.check()?;
    let [q, k, v] = case.vars()?;
    let plan = Arc::new(TilePlan::new(&case.batch).unwrap());
    let attention = tile_attention(&q, &k, &v, &plan, SCALE).unwrap();
    assert_eq!(values(&attention.out.narrow(1, 66, 1)?)?, [0.0; 4]);
    assert_eq!(values(&attention.lse)?[3], f64::NEG_INFINITY);
    Ok(())
}

#[test]
fn views_of_a_cache_and_of_a_fused_projection_give_what_copies_give() -> Result<()> {
    let mut inputs = Inputs::new(5);
    let fused = tensor(&inputs.numbers(2 * 20 * 8 * 16), &[2, 20, 8, 16])?;
    let cache = tensor(&inputs.numbers(2 * 300 * 2 * 16), &[2, 300, 2, 16])?;
    let plan = Arc::new(TilePlan::new(&[Visibility::dense(20, 130)]).unwrap());
    let (q, k, v) = (
        fused.narrow(2, 2, 4)?,
        cache.narrow(1, 100, 130)?,
        cache.narrow(1, 7, 130)?,
    );
    let run = |q: &Tensor, k: &Tensor, v: &Tensor| values(&tile_attention(q, k, v, &plan, SCALE).unwrap().out);
    assert_eq!(run(&q, &k, &v)?, run(&q.copy()?, &k.copy()?, &v.copy()?)?);
    Ok(())
}

#[test]
fn huge_scores_do_not_overflow() -> Result<()> {
    let case = Case::new(shape(1, 3, 200, [1, 1], 4), vec![Visibility::dense(3, 200)]);
    let plan = Arc::new(TilePlan::new(&case.batch).unwrap());
    let [q, k, v] = case.vars()?;
    let out = tile_attention(&(q.as_tensor() * 1e4)?, &k, &v, &plan, SCALE).unwrap();
    let q: Vec<f64> = case.q.iter().map(|q| q * 1e4).collect();
    assert_close("out", &values(&out.out)?, &case.twin(&q, &case.k, &case.v).0);
    Ok(())
}

#[test]
fn gradients_are_the_same_bits_every_time() -> Result<()> {
    let case = Case::new(shape(2, 200, 200, [4, 2], 8), vec![Visibility::dense(200, 200)]);
    let plan = Arc::new(TilePlan::new(&case.batch).unwrap());
    let run = || -> Result<Vec<f64>> {
        let [q, k, v] = case.vars()?;
        let grads = tile_attention(&q, &k, &v, &plan, SCALE)
            .unwrap()
            .out
            .sqr()?
            .sum_all()?
            .backward()?;
        values(grads.get(&k).unwrap())
    };
    assert_eq!(run()?, run()?);
    Ok(())
}

#[test]
fn a_plan_of_another_size_is_refused() -> Result<()> {
    let plan = Arc::new(TilePlan::new(&[Visibility::dense(3, 5)]).unwrap());
    let x = tensor(&[0.0; 8], &[1, 4, 1, 2])?;
    let message = tile_attention(&x, &x, &x, &plan, 1.0).unwrap_err().to_string();
    assert!(message.contains("3 queries by 5 keys"), "{message}");
    Ok(())
}
