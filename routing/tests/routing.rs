//! The shared expert always runs, routed experts run for their rows only, and the account says so.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

use candle_core::{Device, Tensor};
use drdiff_kernels::{Builder, Noise, Source, Value};
use drdiff_routing::{AlwaysOn, ComputeReport, FeedForward, RouteContext, Router, Routing, Shape};
use drdiff_testkit::{assert_close, values};

const SHAPE: Shape = Shape {
    width: 8,
    hidden: 16,
    experts: 2,
    expert_hidden: 4,
};

/// Sends row 1 to expert 0 and rows 0 and 2 to expert 1, each with weight 0.5.
struct Fixed;

impl Router for Fixed {
    fn route(&self, hidden: &Tensor, _: &RouteContext) -> drdiff_routing::Result<Routing> {
        let pick = |ids: &[u32]| -> candle_core::Result<(Tensor, Tensor)> {
            let gate = Tensor::full(0.5f32, (ids.len(), 1), hidden.device())?;
            Ok((Tensor::new(ids, hidden.device())?, gate))
        };
        Ok(Routing {
            experts: vec![pick(&[1])?, pick(&[0, 2])?],
            aux_loss: None,
        })
    }
}

fn layer(router: Box<dyn Router>) -> FeedForward {
    let builder = Builder::new(Source::Init(Noise::new(3, 0)), &Device::Cpu);
    FeedForward::new(&builder, SHAPE, router, 0.1).unwrap()
}

fn input() -> Tensor {
    Tensor::arange(0f32, 24., &Device::Cpu)
        .unwrap()
        .reshape((3, 8))
        .unwrap()
        .affine(0.1, -1.0)
        .unwrap()
}

#[test]
fn the_dense_layer_spends_the_shared_expert_only() {
    let layer = layer(Box::new(AlwaysOn));
    let mut report = ComputeReport::default();
    layer
        .forward(&Value::constant(&input()), &RouteContext::default(), 2, &mut report)
        .unwrap();
    assert_eq!(report.flops(), 3 * 6 * 8 * 16);
    assert_eq!(report.layer_flops(2), report.flops());
}

#[test]
fn routed_rows_are_counted_and_rows_do_not_mix() {
    let fixed = layer(Box::new(Fixed));
    let dense = layer(Box::new(AlwaysOn));
    let mut report = ComputeReport::default();
    let context = RouteContext::default();
    let (routed, aux) = fixed
        .forward(&Value::constant(&input()), &context, 0, &mut report)
        .unwrap();
    assert!(aux.is_none());
    assert_eq!(report.flops(), 3 * 6 * 8 * 16 + 3 * 6 * 8 * 4);
    let (plain, _) = dense
        .forward(&Value::constant(&input()), &context, 0, &mut ComputeReport::default())
        .unwrap();
    // What the routed experts add to row 1 does not change when rows 0 and 2 do.
    let other = Tensor::cat(
        &[&input().narrow(0, 2, 1).unwrap(), &input().narrow(0, 1, 2).unwrap()],
        0,
    )
    .unwrap();
    let (moved, _) = fixed
        .forward(&Value::constant(&other), &context, 0, &mut report)
        .unwrap();
    let row = |t: &Tensor| values(&t.get(1).unwrap()).unwrap();
    assert_close("row 1", &row(moved.tensor()), &row(routed.tensor()));
    let added = (routed.tensor() - plain.tensor())
        .unwrap()
        .abs()
        .unwrap()
        .sum_all()
        .unwrap()
        .to_scalar::<f32>()
        .unwrap();
    assert!(added > 0.0);
}
