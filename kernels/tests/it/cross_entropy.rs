use candle_core::{Result, Tensor, Var};
use drdiff_kernels::{entropy_shares, linear_cross_entropy, mixture, mixture_with_entropy, naive};
use drdiff_testkit::{Inputs, assert_close, assert_gradient, tensor, values};

struct Case {
    rows: usize,
    vocab: usize,
    width: usize,
    h: Vec<f64>,
    table: Vec<f64>,
    bias: Vec<f64>,
    targets: Vec<usize>,
    weights: Vec<f64>,
}

impl Case {
    fn new(rows: usize, vocab: usize, width: usize) -> Self {
        let mut inputs = Inputs::new((rows * vocab) as u64);
        let mut weights = inputs.numbers(rows);
        weights.iter_mut().step_by(3).for_each(|weight| *weight = 0.0);
        Self {
            rows,
            vocab,
            width,
            h: inputs.numbers(rows * width),
            table: inputs.numbers(vocab * width),
            bias: inputs.numbers(vocab),
            targets: inputs.whole(rows, vocab),
            weights,
        }
    }

    fn loss(&self, h: &[f64], table: &[f64], bias: &[f64]) -> f64 {
        let nats = naive::cross_entropy(h, table, bias, &self.targets, self.width);
        nats.iter().zip(&self.weights).map(|(nats, weight)| nats * weight).sum()
    }

    fn inputs(&self) -> Result<(Tensor, Tensor, Tensor, Tensor, Tensor)> {
        let targets: Vec<u32> = self.targets.iter().map(|&target| target as u32).collect();
        Ok((
            tensor(&self.h, &[self.rows, self.width])?,
            tensor(&self.table, &[self.vocab, self.width])?,
            tensor(&self.bias, &[self.vocab])?,
            Tensor::new(targets, &candle_core::Device::Cpu)?,
            tensor(&self.weights, &[self.rows])?,
        ))
    }
}

#[test]
fn loss_nats_and_gradients_match_the_twin() -> Result<()> {
    for (rows, vocab, width) in [(1, 1, 1), (7, 65, 5), (63, 200, 8), (65, 7, 64), (1100, 9, 3)] {
        let case = Case::new(rows, vocab, width);
        let (h, table, bias, targets, weights) = case.inputs()?;
        let [h, table, bias] = [h, table, bias].map(|tensor| Var::from_tensor(&tensor).unwrap());
        let result = linear_cross_entropy(&h, &table, &bias, &targets, &weights).unwrap();
        let nats = naive::cross_entropy(&case.h, &case.table, &case.bias, &case.targets, width);
        assert_close("nats", &values(&result.nats)?, &nats);
        assert_close(
            "loss",
            &values(&result.loss)?,
            &[case.loss(&case.h, &case.table, &case.bias)],
        );

        // Half of the loss: the upstream gradient must reach every input.
        let grads = (result.loss * 0.5)?.backward()?;
        let [dh, dtable, dbias] =
            [&h, &table, &bias].map(|var| values(&(grads.get(var).unwrap() * 2.0).unwrap()).unwrap());
        if vocab > 1 {
            assert_gradient("h", |h| case.loss(h, &case.table, &case.bias), &case.h, &dh);
            assert_gradient(
                "table",
                |table| case.loss(&case.h, table, &case.bias),
                &case.table,
                &dtable,
            );
            assert_gradient("bias", |bias| case.loss(&case.h, &case.table, bias), &case.bias, &dbias);
        }
        assert!(
            dh.chunks(width)
                .zip(&case.weights)
                .all(|(row, &w)| w != 0.0 || row.iter().all(|&g| g == 0.0))
        );
    }
    Ok(())
}

#[test]
fn without_variables_there_is_no_graph_and_the_same_loss() -> Result<()> {
    let case = Case::new(40, 30, 6);
    let (h, table, bias, targets, weights) = case.inputs()?;
    let plain = linear_cross_entropy(&h, &table, &bias, &targets, &weights).unwrap();
    assert!(!plain.loss.track_op() && !plain.nats.track_op());
    let h = Var::from_tensor(&h)?;
    let tracked = linear_cross_entropy(&h, &table, &bias, &targets, &weights).unwrap();
    assert_eq!(values(&plain.loss)?, values(&tracked.loss)?);
    let grads = tracked.loss.backward()?;
    assert!(grads.get(&h).is_some());
    assert!(grads.get(&table).is_none(), "a constant gets no gradient");
    Ok(())
}

#[test]
fn a_target_outside_the_vocabulary_is_named() -> Result<()> {
    let case = Case::new(2, 3, 4);
    let (h, table, bias, _, weights) = case.inputs()?;
    let targets = Tensor::new(vec![0u32, 3], &candle_core::Device::Cpu)?;
    let message = linear_cross_entropy(&h, &table, &bias, &targets, &weights)
        .unwrap_err()
        .to_string();
    assert!(message.contains("target 3 in a vocabulary of 3"), "{message}");
    Ok(())
}

#[test]
fn the_mean_embedding_matches_the_twin() -> Result<()> {
    for (rows, vocab, width) in [(1, 1, 1), (7, 65, 5), (63, 200, 8), (4100, 9, 3)] {
        let case = Case::new(rows, vocab, width);
        let (h, table, bias, ..) = case.inputs()?;
        let found = mixture(&h, &table, &bias).unwrap();
        let wanted = naive::mixture(&case.h, &case.table, &case.bias, width);
        assert_close("mixture", &values(&found)?, &wanted);
        let (again, shares) = mixture_with_entropy(&h, &table, &bias).unwrap();
        assert_eq!(values(&again)?, values(&found)?);
        let wanted = naive::entropy_shares(&case.h, &case.table, &case.bias, width);
        assert_close("entropy", &values(&shares)?, &wanted);
    }
    Ok(())
}

#[test]
fn entropies_of_logits_run_from_certain_to_even() {
    let certain = [0.0, f32::NEG_INFINITY, -200.0, -90.0];
    let two = [7.0, 7.0, -100.0, f32::NEG_INFINITY];
    let shares = entropy_shares(&[certain, two, [3.0; 4]].concat(), 4);
    assert_eq!(shares[0], 0.0);
    assert!(
        (shares[1] - 0.5).abs() < 1e-6 && (shares[2] - 1.0).abs() < 1e-6,
        "{shares:?}"
    );
}
