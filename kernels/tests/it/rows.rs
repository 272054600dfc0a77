//! RMS norm, QK norm with rotation, SwiGLU.

use candle_core::{Result, Tensor, Var};
use drdiff_kernels::{Rotary, geglu, naive, qk_norm_rope, rms_norm, swiglu};
use drdiff_testkit::{Inputs, assert_close, assert_gradient, tensor, values};

const WIDTHS: [usize; 6] = [1, 7, 63, 64, 65, 200];

/// A weighted sum of a result: a scalar whose gradient asks for every number.
fn weigh(out: &[f64], weights: &[f64]) -> f64 {
    out.iter().zip(weights).map(|(out, weight)| out * weight).sum()
}

fn gradients(out: &Tensor, weights: &[f64], of: &[&Var]) -> Result<Vec<Vec<f64>>> {
    let grads = (out * tensor(weights, out.dims())?)?.sum_all()?.backward()?;
    of.iter().map(|var| values(grads.get(var).unwrap())).collect()
}

#[test]
fn rms_norm_matches_its_twin() -> Result<()> {
    for width in WIDTHS {
        let mut inputs = Inputs::new(width as u64);
        let (x, gain, weights) = (
            inputs.numbers(5 * width),
            inputs.numbers(width),
            inputs.numbers(5 * width),
        );
        let x_var = Var::from_tensor(&tensor(&x, &[5, width])?)?;
        let gain_var = Var::from_tensor(&tensor(&gain, &[width])?)?;

        let out = rms_norm(&x_var, Some(&gain_var), 1e-6).unwrap();
        let twin = |x: &[f64], gain: &[f64]| naive::rms_norm(x, width, Some(gain), 1e-6);
        assert_close("rms_norm", &values(&out)?, &twin(&x, &gain));
        let grads = gradients(&out, &weights, &[&x_var, &gain_var])?;
        assert_gradient("gain", |gain| weigh(&twin(&x, gain), &weights), &gain, &grads[1]);
        if width > 1 {
            assert_gradient("x", |x| weigh(&twin(x, &gain), &weights), &x, &grads[0]);

            let plain = rms_norm(&x_var, None, 1e-6).unwrap();
            let twin = |x: &[f64]| naive::rms_norm(x, width, None, 1e-6);
            assert_close("rms_norm without gain", &values(&plain)?, &twin(&x));
            let grads = gradients(&plain, &weights, &[&x_var])?;
            assert_gradient("x without gain", |x| weigh(&twin(x), &weights), &x, &grads[0]);
        }
    }
    Ok(())
}

#[test]
fn a_row_of_zeros_stays_zero_with_finite_gradients() -> Result<()> {
    for eps in [0.0, 1e-6] {
        let x = Var::from_tensor(&tensor(&[0.0; 14], &[2, 7])?)?;
        let gain = Var::from_tensor(&tensor(&[2.0; 7], &[7])?)?;
        let out = rms_norm(&x, Some(&gain), eps).unwrap();
        assert!(values(&out)?.iter().all(|&x| x == 0.0));
        for grad in gradients(&out, &[1.0; 14], &[&x, &gain])? {
            assert!(grad.iter().all(|x| x.is_finite()));
        }
    }
    Ok(())
}

#[test]
fn views_give_what_copies_give() -> Result<()> {
    let x = tensor(&Inputs::new(3).numbers(4 * 6 * 10), &[4, 6, 10])?;
    let (middle, right, turned) = (x.narrow(1, 2, 3)?, x.narrow(2, 4, 6)?, x.transpose(1, 2)?);
    for view in [&middle, &right, &turned, &x.narrow(0, 1, 2)?] {
        let copy = view.copy()?;
        let gain = tensor(&Inputs::new(4).numbers(view.dims()[2]), &[view.dims()[2]])?;
        let norm = |x: &Tensor| values(&rms_norm(x, Some(&gain), 1e-6).unwrap());
        assert_eq!(norm(view)?, norm(&copy)?);
        let glu = |x: &Tensor| values(&swiglu(x).unwrap());
        assert_eq!(glu(view)?, glu(&copy)?);
    }
    Ok(())
}

#[test]
fn qk_norm_rope_matches_its_twin() -> Result<()> {
    let (batch, length, heads) = (2, 5, 3);
    let shared = vec![vec![0, 3, 70, 1000, 4]];
    let own = vec![vec![0, 1, 2, 3, 4], vec![9, 8, 7, 100_000, 5]];
    let sizes = [(2, &shared), (64, &own), (10, &own), (66, &shared)];
    for ((width, positions), eps) in sizes.into_iter().flat_map(|size| [(size, Some(1e-6)), (size, None)]) {
        let mut inputs = Inputs::new(width as u64);
        let count = batch * length * heads * width;
        let (x, gain, weights) = (inputs.numbers(count), inputs.numbers(width), inputs.numbers(count));
        let rotary = Rotary::new(positions, width, 10_000.0, &candle_core::Device::Cpu).unwrap();
        // The heads are a view into a wider projection, as in a fused one.
        let wide = Tensor::cat(&[&tensor(&x, &[batch, length, heads, width])?; 2], 2)?;
        let wide = Var::from_tensor(&wide)?;
        let gain_var = Var::from_tensor(&tensor(&gain, &[width])?)?;
        let out = qk_norm_rope(
            &wide.narrow(2, heads, heads)?,
            &gain_var,
            eps.map(|eps| eps as f32),
            &rotary,
        )
        .unwrap();
        let twin = |x: &[f64], gain: &[f64]| naive::qk_norm_rope(x, heads, (gain, eps), positions, 10_000.0);
        assert_close("rope", &values(&out)?, &twin(&x, &gain));
        let grads = (&out * tensor(&weights, out.dims())?)?.sum_all()?.backward()?;
        let dx = values(&grads.get(&wide).unwrap().narrow(2, heads, heads)?)?;
        assert_gradient("x", |x| weigh(&twin(x, &gain), &weights), &x, &dx);
        let dgain = values(grads.get(&gain_var).unwrap())?;
        assert_gradient("gain", |gain| weigh(&twin(&x, gain), &weights), &gain, &dgain);
    }
    Ok(())
}

#[test]
fn swiglu_matches_its_twin() -> Result<()> {
    for half in WIDTHS {
        let mut inputs = Inputs::new(half as u64);
        let (x, weights) = (inputs.numbers(6 * half), inputs.numbers(3 * half));
        let x: Vec<f64> = x.iter().map(|x| 4.0 * x).collect();
        let var = Var::from_tensor(&tensor(&x, &[3, 2 * half])?)?;
        let out = swiglu(&var).unwrap();
        let twin = |x: &[f64]| naive::swiglu(x, 2 * half);
        assert_close("swiglu", &values(&out)?, &twin(&x));
        let grads = gradients(&out, &weights, &[&var])?;
        assert_gradient("x", |x| weigh(&twin(x), &weights), &x, &grads[0]);
    }
    Ok(())
}

#[test]
fn geglu_matches_its_twin() -> Result<()> {
    for half in WIDTHS {
        let mut inputs = Inputs::new(half as u64);
        let (x, weights) = (inputs.numbers(6 * half), inputs.numbers(3 * half));
        let x: Vec<f64> = x.iter().map(|x| 4.0 * x).collect();
        let var = Var::from_tensor(&tensor(&x, &[3, 2 * half])?)?;
        let out = geglu(&var).unwrap();
        let reference = |x: &[f64]| naive::geglu(x, 2 * half);
        assert_close("geglu", &values(&out)?, &reference(&x));
        let grads = gradients(&out, &weights, &[&var])?;
        assert_gradient("x", |x| weigh(&reference(x), &weights), &x, &grads[0]);
    }
    Ok(())
}

#[test]
fn shapes_that_do_not_fit_are_named() -> Result<()> {
    let x = tensor(&[0.0; 6], &[2, 3])?;
    assert!(geglu(&x).unwrap_err().to_string().contains("not even"));
    assert!(swiglu(&x).unwrap_err().to_string().contains("not even"));
    let gain = tensor(&[1.0; 2], &[2])?;
    assert!(
        rms_norm(&x, Some(&gain), 1e-6)
            .unwrap_err()
            .to_string()
            .contains("rows of 3")
    );
    Ok(())
}
