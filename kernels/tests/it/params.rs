use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Result, Tensor};
use drdiff_kernels::params::Param;
use drdiff_kernels::{Builder, Init, Linear, Loaded, Source};
use drdiff_noise::Noise;
use drdiff_testkit::{Inputs, assert_all_learn, assert_close_within, tensor, values};
use std::collections::BTreeMap;

fn fresh() -> Builder {
    Builder::new(Source::Init(Noise::new(1, 0)), &Device::Cpu)
}

fn loaded(tensors: BTreeMap<String, Loaded>, trainable: bool) -> Builder {
    Builder::new(Source::Loaded { tensors, trainable }, &Device::Cpu)
}

#[test]
fn names_come_in_the_order_of_creation_and_draws_do_not() -> Result<()> {
    let (one, other) = (fresh(), fresh());
    let make = |root: &Builder, block: usize| {
        root.scope("blocks")
            .scope(block)
            .linear("qkv", 4, 3, Init::Normal(0.02))
            .unwrap()
    };
    make(&one, 0);
    make(&one, 1);
    make(&other, 1);
    make(&other, 0);
    let ((one, report), (other, _)) = (one.finish(), other.finish());
    assert!(report.fits());
    let names: Vec<&str> = one.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["blocks.0.qkv", "blocks.1.qkv"]);
    assert_eq!(other.iter().next().unwrap().0, "blocks.1.qkv");
    assert_eq!(one.element_count(), 24);
    let draws = |params: &drdiff_kernels::Params, name: &str| match params.get(name) {
        Some(Param::Trained(var)) => values(var),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(draws(&one, "blocks.0.qkv")?, draws(&other, "blocks.0.qkv")?);
    assert_ne!(draws(&one, "blocks.0.qkv")?, draws(&one, "blocks.1.qkv")?);
    Ok(())
}

#[test]
fn a_linear_map_learns_in_any_rank() -> Result<()> {
    let root = fresh();
    let linear = root.linear("map", 5, 3, Init::Normal(1.0)).unwrap();
    let (params, _) = root.finish();
    let x = tensor(&Inputs::new(1).numbers(24), &[2, 4, 3])?;
    let y = linear.forward(&x).unwrap();
    assert_eq!(y.dims(), [2, 4, 5]);
    assert_eq!(linear.forward(&x.get(1)?).unwrap().dims(), [4, 5]);
    let gradients = y.sqr()?.sum_all()?.backward()?;
    assert_all_learn(params.vars(), |parameter| gradients.get(parameter));
    assert!(
        linear
            .forward(&tensor(&[0.0; 4], &[1, 4])?)
            .unwrap_err()
            .to_string()
            .contains("5 x 3")
    );
    Ok(())
}

#[test]
fn what_does_not_fit_is_reported_all_at_once() -> Result<()> {
    let tensors = BTreeMap::from([
        ("a".to_owned(), Loaded::Dense(tensor(&[1.0, 2.0], &[2])?)),
        ("b".to_owned(), Loaded::Dense(tensor(&[1.0, 2.0], &[2])?)),
        ("z".to_owned(), Loaded::Dense(tensor(&[1.0], &[1])?)),
    ]);
    let root = loaded(tensors, false);
    let a = root.tensor("a", 2, Init::Const(0.0)).unwrap();
    assert_eq!(values(&a)?, [1.0, 2.0]);
    assert!(!a.track_op());
    root.tensor("b", 3, Init::Const(0.0)).unwrap();
    root.tensor("c", 4, Init::Const(0.0)).unwrap();
    let (params, report) = root.finish();
    assert_eq!(params.len(), 3);
    assert!(!report.fits());
    assert_eq!(report.missing, ["c"]);
    assert_eq!(report.unexpected, ["z"]);
    assert_eq!(report.mismatched, [("b".to_owned(), vec![3], vec![2])]);
    Ok(())
}

#[test]
fn a_quantised_map_is_near_the_dense_one() -> Result<()> {
    let weight = tensor(&Inputs::new(2).numbers(8 * 64), &[8, 64])?;
    let quantised = || QTensor::quantize(&weight, GgmlDType::Q8_0);
    let root = loaded(
        BTreeMap::from([("map".to_owned(), Loaded::Quantized(quantised()?))]),
        false,
    );
    let linear = root.linear("map", 8, 64, Init::Const(0.0)).unwrap();
    assert!(matches!(linear, Linear::Quantized(_)));
    let x = tensor(&Inputs::new(3).numbers(2 * 3 * 64), &[2, 3, 64])?;
    let want = Linear::Dense(weight.clone()).forward(&x).unwrap();
    let got = linear.forward(&x).unwrap();
    assert_eq!(got.dims(), [2, 3, 8]);
    // 8 bits a weight and 8 bits an input leave half a step of 1/127 each.
    assert_close_within("Q8_0", &values(&got)?, &values(&want)?, 1e-2);

    let root = loaded(
        BTreeMap::from([("map".to_owned(), Loaded::Quantized(quantised()?))]),
        true,
    );
    let Linear::Dense(trained) = root.linear("map", 8, 64, Init::Const(0.0)).unwrap() else {
        panic!("a trainable weight must be dense")
    };
    assert!(trained.track_op());
    let _: Tensor = trained;
    Ok(())
}
