use candle_core::{DType, Device, Result, Tensor, Var};
use drdiff_kernels::{MuonSlot, MuonStep, muon, naive, orthogonalise};
use drdiff_testkit::{Inputs, assert_close, tensor, values};

#[test]
fn newton_schulz_matches_the_twin_and_evens_singular_values() -> Result<()> {
    for (rows, columns) in [(8, 8), (5, 17), (24, 7), (1, 6), (64, 96)] {
        let mut inputs = Inputs::new(rows as u64);
        let stack: Vec<Vec<f64>> = (0..3).map(|_| inputs.numbers(rows * columns)).collect();
        let found = orthogonalise(&tensor(&stack.concat(), &[3, rows, columns])?).unwrap();
        let twins: Vec<Vec<f64>> = stack.iter().map(|m| naive::orthogonalise(m, rows, columns)).collect();
        assert_close("orthogonalised", &values(&found)?, &twins.concat());
        // The squared norm is the sum of the squared singular values.
        for (twin, matrix) in twins.iter().zip(&stack) {
            let rank = rows.min(columns) as f64;
            let mean_square = twin.iter().map(|v| v * v).sum::<f64>() / rank;
            assert!((0.45..1.45).contains(&mean_square), "{rows} x {columns}: {mean_square}");
            // It turns the matrix no way: what it is along, it stays along.
            let along: f64 = twin.iter().zip(matrix).map(|(o, m)| o * m).sum();
            assert!(along > 0.0);
        }
    }
    Ok(())
}

#[test]
fn singular_values_of_a_diagonal_matrix_end_near_one() -> Result<()> {
    let diagonal = [1.0, 0.7, 0.3, 0.1, 0.03];
    let mut matrix = vec![0.0; 25];
    for (i, s) in diagonal.iter().enumerate() {
        matrix[i * 6] = *s;
    }
    let found = values(&orthogonalise(&tensor(&matrix, &[1, 5, 5])?).unwrap())?;
    for i in 0..5 {
        for j in 0..5 {
            let value = found[i * 5 + j];
            let near = if i == j { 0.6..1.3 } else { -1e-6..1e-6 };
            assert!(near.contains(&value), "{i} {j}: {value}");
        }
    }
    let zeros = Tensor::zeros((2, 3, 4), DType::F32, &Device::Cpu)?;
    assert!(values(&orthogonalise(&zeros).unwrap())?.iter().all(|v| *v == 0.0));
    Ok(())
}

/// Two matrices fused in one parameter and one alone, against the formulas in f64.
#[test]
fn a_step_matches_the_twin() -> Result<()> {
    let (rows, columns) = (3, 5);
    let mut inputs = Inputs::new(7);
    let mut draw = |count: usize| inputs.numbers(count * rows * columns);
    let (fused, alone) = (draw(2), draw(1));
    let (fused_grad, alone_grad, momentum) = (draw(2), draw(1), draw(3));
    let var = |numbers: &[f64], count| Var::from_tensor(&tensor(numbers, &[count * rows, columns])?);
    let (fused_var, alone_var) = (var(&fused, 2)?, var(&alone, 1)?);
    let (fused_average, alone_average) = (tensor(&fused, &[6, 5])?, tensor(&alone, &[3, 5])?);
    let step = MuonStep {
        lr: 1e-2,
        scale: 1.0,
        momentum: 0.9,
        weight_decay: 0.1,
        ema_decay: 0.8,
    };
    let fused_grad_t = tensor(&fused_grad, &[6, 5])?;
    let alone_grad_t = tensor(&alone_grad, &[3, 5])?.t()?.contiguous()?.t()?;
    let slot = |row| MuonSlot {
        param: &fused_var,
        grad: Some(&fused_grad_t),
        average: Some(&fused_average),
        row,
    };
    let last = MuonSlot {
        param: &alone_var,
        grad: Some(&alone_grad_t),
        average: Some(&alone_average),
        row: 0,
    };
    let clip = Tensor::new(0.5f32, &Device::Cpu)?;
    let before = tensor(&momentum, &[3, rows, columns])?;
    let after = muon(&[slot(0), slot(3), last], &before, &step, &clip).unwrap();

    let (grad, weight) = ([fused_grad, alone_grad].concat(), [fused, alone].concat());
    let fresh: Vec<f64> = grad.iter().map(|g| 0.5 * g).collect();
    let wanted: Vec<f64> = momentum.iter().zip(&fresh).map(|(m, g)| 0.9 * m + g).collect();
    assert_close("momentum", &values(&after)?, &wanted);
    let ahead: Vec<f64> = wanted.iter().zip(&fresh).map(|(m, g)| 0.9 * m + g).collect();
    let direction: Vec<f64> = ahead
        .chunks(rows * columns)
        .flat_map(|matrix| naive::orthogonalise(matrix, rows, columns))
        .collect();
    let rate = 1e-2 * 0.2 * 5f64.sqrt();
    let moved = |(w, o): (&f64, &f64)| (1.0 - 1e-3) * w - rate * o;
    let moved: Vec<f64> = weight.iter().zip(&direction).map(moved).collect();
    let found = [values(&fused_var)?, values(&alone_var)?].concat();
    assert_close("parameter", &found, &moved);
    let average: Vec<f64> = weight.iter().zip(&moved).map(|(e, w)| 0.8 * e + 0.2 * w).collect();
    let found = [values(&fused_average)?, values(&alone_average)?].concat();
    assert_close("average", &found, &average);
    Ok(())
}

#[test]
fn what_does_not_fit_the_stack_is_refused() -> Result<()> {
    let var = Var::from_tensor(&tensor(&[0.0; 6], &[2, 3])?)?;
    let slot = MuonSlot {
        param: &var,
        grad: None,
        average: None,
        row: 0,
    };
    let step = MuonStep {
        lr: 1.0,
        scale: 1.0,
        momentum: 0.0,
        weight_decay: 0.0,
        ema_decay: 0.0,
    };
    let clip = Tensor::new(1f32, &Device::Cpu)?;
    let momentum = |shape: (usize, usize, usize)| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    for shape in [(2, 2, 3), (1, 3, 3), (1, 2, 2)] {
        assert!(muon(&[slot], &momentum(shape)?, &step, &clip).is_err(), "{shape:?}");
    }
    muon(&[slot], &momentum((1, 2, 3))?, &step, &clip).unwrap();
    assert!(values(&var)?.iter().all(|v| *v == 0.0));
    Ok(())
}
