//! The passes of one optimiser step, as if they were one batch.

use candle_core::Tensor;
use drdiff_kernels::{Gradients, Tape};

use crate::learned::Learned;
use crate::{Error, Result, RoutingLoad};

/// Sums passes, each by what its targets weigh: the loss is the mean over the targets of all of them, so that one window in
/// each of eight passes teaches what eight windows of one pass teach.
#[derive(Default)]
pub(crate) struct Accumulated {
    gradients: Gradients,
    loss: Option<Tensor>,
    next_token: Option<Tensor>,
    load: RoutingLoad,
    /// Weight of the first pass that has targets; the others are counted in it, which keeps a single pass as it is.
    unit: Option<f64>,
    /// Weight of all passes, in units.
    weight: f64,
}

/// What a step learns from.
pub(crate) struct Sum {
    pub(crate) gradients: Gradients,
    /// A scalar.
    pub(crate) loss: Tensor,
    /// A scalar.
    pub(crate) next_token: Option<Tensor>,
    pub(crate) load: RoutingLoad,
}

impl Accumulated {
    /// Adds a pass that was recorded on `tape` and whose targets weigh `weight` together.
    ///
    /// # Errors
    /// If an operation fails.
    pub(crate) fn add(&mut self, learned: Learned, weight: f64, tape: &Tape) -> Result<()> {
        if weight > 0.0 && self.unit.is_none() {
            self.unit = Some(weight);
        }
        let share = self.unit.map_or(0.0, |unit| weight / unit);
        let mut gradients = tape.backward(&learned.objective)?;
        gradients.scale(share)?;
        self.gradients.extend(gradients)?;
        self.load.add(learned.load)?;
        add(&mut self.loss, learned.value, share)?;
        if let Some(next_token) = learned.next_token {
            add(&mut self.next_token, next_token, share)?;
        }
        self.weight += share;
        Ok(())
    }

    /// The mean of the passes.
    ///
    /// # Errors
    /// If there was no pass, or an operation fails.
    pub(crate) fn mean(mut self) -> Result<Sum> {
        let Some(loss) = self.loss else {
            return Err(Error::Config("`accumulate` is 0; give it at least 1".to_owned()));
        };
        // Passes without a single target teach nothing.
        let share = match self.weight > 0.0 {
            true => self.weight.recip(),
            false => 0.0,
        };
        self.gradients.scale(share)?;
        Ok(Sum {
            gradients: self.gradients,
            loss: loss.affine(share, 0.0)?,
            next_token: self
                .next_token
                .map(|next_token| next_token.affine(share, 0.0))
                .transpose()?,
            load: self.load,
        })
    }
}

/// Adds `share` times a scalar.
pub(crate) fn add(sum: &mut Option<Tensor>, value: Tensor, share: f64) -> Result<()> {
    let value = match share == 1.0 {
        true => value,
        false => value.affine(share, 0.0)?,
    };
    *sum = Some(match sum.take() {
        Some(sum) => (sum + value)?,
        None => value,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use drdiff_diffusion::Levels;
    use drdiff_kernels::{Builder, Params, Source};
    use drdiff_model::{ModelConfig, Network, NoisedBatch, TrainableNetwork};
    use drdiff_noise::Noise;
    use drdiff_testkit::assert_close;

    use super::*;
    use crate::{Optimizer, OptimizerConfig};
    use drdiff_model::Layouts;

    const LEN: usize = 32;
    const BLOCK: usize = 8;

    fn network() -> (Network, Params) {
        let model: ModelConfig = serde_json::from_value(serde_json::json!({
            "vocab": 12, "width": 32, "embed": 24, "layers": 2, "heads": 2, "kv_heads": 1, "head_dim": 16,
            "hidden": 48, "context": LEN,
        }))
        .unwrap();
        let builder = Builder::new(Source::Init(Noise::new(1, 0)), &Device::Cpu);
        let network = Network::new(&builder, &model, DType::F32).unwrap();
        (network, builder.finish().0)
    }

    /// Eight windows of a step, which have from one to many targets of different weights.
    fn windows(step: u32) -> (Vec<u32>, Levels) {
        let at = 0..8 * LEN as u32;
        let tokens = at.clone().map(|i| (i * i + 7 * step + i / 5) % 12).collect();
        let open = |i: u32| (i + step).is_multiple_of(2 + i / LEN as u32);
        let weight = at
            .map(|i| if open(i) { 1.0 + (i % 3) as f32 } else { 0.0 })
            .collect::<Vec<_>>();
        let snr = weight
            .iter()
            .map(|w| if *w > 0.0 { 0.0 } else { f32::INFINITY })
            .collect();
        (tokens, Levels { snr, weight })
    }

    /// Losses of some steps on passes of `batch` windows, and the parameters behind them.
    fn trained(batch: usize) -> (Vec<f64>, Vec<f64>) {
        let (network, params) = network();
        let layouts = Layouts::new(network.config(), LEN, &Device::Cpu).unwrap();
        // Without a threshold below which moments count as noise, first steps would be signs of rounding.
        let config = OptimizerConfig {
            eps: 1e-3,
            clip: 0.5,
            ..OptimizerConfig::default()
        };
        let mut optimizer = Optimizer::new(&params, &config).unwrap();
        let mut losses = Vec::new();
        for step in 0..4 {
            let (tokens, levels) = windows(step);
            let mut sum = Accumulated::default();
            for first in (0..8 * LEN).step_by(batch * LEN) {
                let here = first..first + batch * LEN;
                let levels = Levels {
                    snr: levels.snr[here.clone()].to_vec(),
                    weight: levels.weight[here.clone()].to_vec(),
                };
                let (sizes, noise) = ((12, 24), (Noise::new(2, 0), 0));
                let corrupted =
                    NoisedBatch::new(&tokens[here], &levels, batch, sizes, noise).in_blocks(&levels, BLOCK, 1.0);
                let layout = layouts.of(&corrupted, BLOCK).unwrap();
                let tape = Tape::new();
                let loss = network.loss(&corrupted, &layout, false, None, Some(&tape)).unwrap();
                sum.add(loss.try_into().unwrap(), corrupted.weight(), &tape).unwrap();
            }
            let sum = sum.mean().unwrap();
            losses.push(f64::from(sum.loss.to_scalar::<f32>().unwrap()));
            optimizer.step(sum.gradients, 1e-2, &config).unwrap();
        }
        let numbers = |var: &candle_core::Var| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let all = params.vars().flat_map(|(_, var)| numbers(var)).map(f64::from).collect();
        (losses, all)
    }

    #[test]
    fn windows_teach_the_same_in_one_pass_and_in_eight() {
        let (wanted, parameters) = trained(8);
        for batch in [1, 2] {
            let (losses, others) = trained(batch);
            assert_close("losses", &losses, &wanted);
            assert_close("parameters", &others, &parameters);
        }
    }

    #[test]
    fn no_pass_is_an_error_and_none_with_targets_teaches_nothing() {
        assert!(Accumulated::default().mean().is_err());
    }
}
