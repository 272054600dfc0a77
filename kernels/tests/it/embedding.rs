use candle_core::{Device, Result, Tensor, Var};
use drdiff_kernels::{embedding, naive};
use drdiff_testkit::{Inputs, assert_gradient, tensor, values};

#[test]
fn rows_and_gradient_match_the_twin() -> Result<()> {
    for (count, vocab, width) in [(1, 1, 1), (7, 3, 5), (65, 200, 7), (200, 2, 63)] {
        let mut inputs = Inputs::new(count as u64);
        let (table, ids) = (inputs.numbers(vocab * width), inputs.whole(count, vocab));
        let weights = inputs.numbers(count * width);
        let id_tensor = Tensor::new(ids.iter().map(|&id| id as u32).collect::<Vec<_>>(), &Device::Cpu)?;
        let var = Var::from_tensor(&tensor(&table, &[vocab, width])?)?;
        let out = embedding(&id_tensor, &var).unwrap();
        assert_eq!(values(&out)?, naive::embedding(&ids, &table, width));
        let grads = (out * tensor(&weights, &[count, width])?)?.sum_all()?.backward()?;
        let loss = |table: &[f64]| -> f64 {
            naive::embedding(&ids, table, width)
                .iter()
                .zip(&weights)
                .map(|(e, w)| e * w)
                .sum()
        };
        assert_gradient("table", loss, &table, &values(grads.get(&var).unwrap())?);
    }
    Ok(())
}

#[test]
fn an_id_outside_the_table_is_an_error() -> Result<()> {
    let ids = Tensor::new(vec![0u32, 9], &Device::Cpu)?;
    assert!(embedding(&ids, &tensor(&[0.0; 6], &[3, 2])?).is_err());
    Ok(())
}
