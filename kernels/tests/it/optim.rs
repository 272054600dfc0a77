use candle_core::{Device, Result, Tensor, Var};
use drdiff_kernels::{AdamWSlot, AdamWStep, Moments, adamw_all, global_norm, naive};
use drdiff_testkit::{Inputs, assert_close, tensor, values};

#[test]
fn ten_steps_match_the_twin() -> Result<()> {
    let count = 20_000;
    let mut inputs = Inputs::new(1);
    let mut param = inputs.numbers(count);
    let (mut m, mut v, mut average) = (vec![0.0; count], vec![0.0; count], param.clone());
    let var = Var::from_tensor(&tensor(&param, &[100, 200])?)?;
    let zeros = || tensor(&vec![0.0; count], &[100, 200]);
    let (m_state, v_state, ema) = (zeros()?, zeros()?, tensor(&param, &[100, 200])?);
    for t in 1..=10 {
        let (beta1, beta2) = (0.9, 0.95f64);
        let step = AdamWStep {
            lr: 1e-2,
            beta1,
            beta2,
            eps: 1e-8,
            weight_decay: 0.1,
            bias1: 1.0 - beta1.powi(t),
            bias2: 1.0 - beta2.powi(t),
            ema_decay: 0.8,
        };
        let grad = inputs.numbers(count);
        naive::adamw(&mut param, &grad, &mut m, &mut v, &step, 0.25);
        average
            .iter_mut()
            .zip(&param)
            .for_each(|(e, p)| *e = 0.8 * *e + 0.2 * p);
        // A transposed gradient, as a product's backward pass gives.
        let grad = tensor(&grad, &[100, 200])?.t()?.contiguous()?.t()?;
        let clip = Tensor::new(0.25f32, &Device::Cpu)?;
        let slot = AdamWSlot {
            param: &var,
            grad: &grad,
            moments: Some(Moments {
                first: &m_state,
                second: &v_state,
            }),
            average: Some(&ema),
            decays: true,
        };
        adamw_all(&[slot], &step, &clip).unwrap();
    }
    assert_close("parameter", &values(&var)?, &param);
    assert_close("first moment", &values(&m_state)?, &m);
    assert_close("second moment", &values(&v_state)?, &v);
    assert_close("moving average", &values(&ema)?, &average);
    Ok(())
}

#[test]
fn a_chosen_direction_is_taken_as_it_is() -> Result<()> {
    let var = Var::from_tensor(&tensor(&[1.0, -2.0, 4.0], &[3])?)?;
    let average = tensor(&[0.0; 3], &[3])?;
    let slot = AdamWSlot {
        param: &var,
        grad: &tensor(&[1.0, 0.5, -1.0], &[3])?,
        moments: None,
        average: Some(&average),
        decays: true,
    };
    let step = AdamWStep {
        lr: 0.5,
        beta1: 0.9,
        beta2: 0.9,
        eps: 1.0,
        weight_decay: 0.5,
        bias1: 0.1,
        bias2: 0.1,
        ema_decay: 0.5,
    };
    adamw_all(&[slot], &step, &Tensor::new(0.1f32, &Device::Cpu)?).unwrap();
    assert_eq!(values(&var)?, [0.25, -1.75, 3.5], "kept 3/4, then half the direction");
    assert_eq!(values(&average)?, [0.125, -0.875, 1.75]);
    Ok(())
}

#[test]
fn the_norm_is_over_all_gradients() -> Result<()> {
    let grads = [tensor(&[3.0], &[1])?, tensor(&[0.0, 4.0, 12.0], &[3, 1])?];
    assert_eq!(global_norm(&grads).unwrap().to_scalar::<f32>()?, 13.0);
    assert!(global_norm(&[]).is_err());
    Ok(())
}

#[test]
fn a_gradient_of_another_shape_is_refused() -> Result<()> {
    let var = Var::from_tensor(&tensor(&[0.0; 2], &[2])?)?;
    let (state, grad) = (tensor(&[0.0; 2], &[2])?, tensor(&[0.0; 3], &[3])?);
    let step = AdamWStep {
        lr: 1.0,
        beta1: 0.0,
        beta2: 0.0,
        eps: 1.0,
        weight_decay: 0.0,
        bias1: 1.0,
        bias2: 1.0,
        ema_decay: 0.0,
    };
    let clip = Tensor::new(1f32, &Device::Cpu)?;
    let slot = AdamWSlot {
        param: &var,
        grad: &grad,
        moments: Some(Moments {
            first: &state,
            second: &state,
        }),
        average: None,
        decays: false,
    };
    let error = adamw_all(&[slot], &step, &clip).unwrap_err();
    assert!(error.to_string().contains("[3] for a parameter of [2]"));
    Ok(())
}
