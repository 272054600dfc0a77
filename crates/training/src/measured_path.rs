//! How a network's prediction changes along the path from noise to text: what fitted grids and learned time are made of.

use candle_core::{DType, Tensor};
use drdiff_attention::{NoisyClean, Pattern};
use drdiff_diffusion::Levels;
use drdiff_kernels::mixture;
use drdiff_model::{Layout, Network, NoisedBatch, Soft, TrainableNetwork};
use drdiff_noise::Noise;

use crate::{Error, Result};
use drdiff_data::Window;

/// Key of the noise that walks begin with: the same for every model, so that grids can be compared.
const NOISE: Noise = Noise::new(0x5eed, 2);
/// Rows whose products are summed in f64 at a time.
const CHUNK: usize = 256;

/// What was measured at the `n` points of a path, the mean over all positions.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredPath {
    /// Inner products of the data predictions on a walk, `[n * n]`.
    pub products: Vec<f64>,
    /// Cross-entropy of the true text in nats, `[n]`.
    pub nats: Vec<f64>,
}

/// Measures `windows`, `batch` of them in a pass, at the points `log_snr` (ascending) of the Gaussian process.
///
/// Products are those of a walk that begins from noise at the first point and follows the deterministic solver of order 1 through all
/// others. It leads to text of the network's own, so its states tell nothing of the true text: cross-entropies are measured on that, with
/// noise of each level. All blocks of `block_size` are passed at once, each behind the true text, as when it is written.
///
/// # Errors
/// If there are no windows or points, windows differ in length, or an operation fails. `watch` is told the windows done.
pub fn measure_path(
    network: &Network,
    windows: &[Window],
    (block_size, batch): (usize, usize),
    log_snr: &[f64],
    watch: &mut dyn FnMut(usize),
) -> Result<MeasuredPath> {
    let n = log_snr.len();
    let len = windows.first().map_or(0, |window| window.ids.len());
    if n == 0 || block_size == 0 || windows.iter().any(|window| window.ids.len() != len) || len == 0 {
        return Err(Error::Config(
            "a path needs points, blocks, and windows of one length; give at least one of each".to_owned(),
        ));
    }
    let config = network.config();
    let positions: Vec<i64> = (0..len as i64).chain(0..len as i64).collect();
    let rotary = config.rotary(&[positions], network.device())?;
    let plans = NoisyClean {
        attention: config.attention.clone(),
        causal: config.causal_context,
    };
    let layout = Layout {
        plan: plans.plan(len, block_size)?,
        units: config.attention.noisy_clean_units(len, block_size)?,
        rotary: &rotary,
    };
    let mut measured = MeasuredPath {
        products: vec![0.0; n * n],
        nats: vec![0.0; n],
    };
    for (part, windows_here) in windows.chunks(batch.max(1)).enumerate() {
        let done = part * batch.max(1);
        watch(done);
        let tokens: Vec<u32> = windows_here
            .iter()
            .flat_map(|window| window.ids.iter().copied())
            .collect();
        let pass = Pass {
            network,
            tokens: &tokens,
            len,
            block_size,
            layout: &layout,
            key: done as u64,
        };
        let walk = pass.walk(log_snr)?;
        for (sum, product) in measured.products.iter_mut().zip(products_of(&walk)?) {
            *sum += product / (windows.len() * len) as f64;
        }
        let share = windows_here.len() as f64 / windows.len() as f64;
        for (sum, log_snr) in measured.nats.iter_mut().zip(log_snr) {
            *sum += share * pass.nats(*log_snr)?;
        }
    }
    Ok(measured)
}

/// One batch of windows.
struct Pass<'a> {
    network: &'a Network,
    tokens: &'a [u32],
    len: usize,
    block_size: usize,
    layout: &'a Layout<'a>,
    /// Keys the noise: the same at all levels, so that what differs is the level.
    key: u64,
}

impl Pass<'_> {
    fn levels(&self, log_snr: f64) -> Levels {
        Levels {
            snr: vec![log_snr.exp() as f32; self.tokens.len()],
            weight: vec![1.0; self.tokens.len()],
        }
    }

    fn corrupted(&self, log_snr: f64) -> NoisedBatch {
        let (levels, config) = (self.levels(log_snr), self.network.config());
        let (batch, sizes) = (self.tokens.len() / self.len, (config.vocab, config.embed));
        NoisedBatch::new(self.tokens, &levels, batch, sizes, (NOISE, self.key)).in_blocks(
            &levels,
            self.block_size,
            config.routing.budget.max,
        )
    }

    /// Mean cross-entropy of the text under noise of this level.
    fn nats(&self, log_snr: f64) -> Result<f64> {
        let loss = self
            .network
            .loss(&self.corrupted(log_snr), self.layout, false, None, None)?;
        Ok(f64::from(loss.value.tensor().to_scalar::<f32>()?))
    }

    /// Data predictions at all points, `[positions, embed]` f32 each.
    fn walk(&self, log_snr: &[f64]) -> Result<Vec<Tensor>> {
        let network = self.network;
        let corrupted = self.corrupted(log_snr[0]);
        let tables = network.tables(None)?;
        let mut rows = corrupted.place(network, &tables)?;
        let mut walk = Vec::with_capacity(log_snr.len());
        for point in 0..log_snr.len() {
            let (_, h) = rows.run(network, &tables, self.layout, &mut Default::default())?;
            let x_hat = mixture(h.tensor(), tables.head().tensor(), network.bias())?;
            if let (Some(next), Some(soft)) = (log_snr.get(point + 1), &rows.input.soft) {
                // y' / r' = y / r + (r' - r) x_hat with r = sqrt(s), see the soft lessons of distillation.
                let (r, to) = ((0.5 * log_snr[point]).exp(), (0.5 * next).exp());
                let moved = (soft.evidence.affine(to / r, 0.0)? + x_hat.affine(to * (to - r), 0.0)?)?;
                rows.input.soft = Some(Soft::new(moved)?);
                rows.move_to(network, &self.levels(*next))?;
            }
            walk.push(x_hat);
        }
        Ok(walk)
    }
}

/// Inner products of the points, summed over all rows.
fn products_of(walk: &[Tensor]) -> Result<Vec<f64>> {
    let n = walk.len();
    let (rows, width) = walk[0].dims2()?;
    let mut sum = vec![0.0; n * n];
    for start in (0..rows).step_by(CHUNK) {
        let count = CHUNK.min(rows - start);
        let chunk = |x: &Tensor| {
            x.narrow(0, start, count)?
                .to_dtype(DType::F64)?
                .reshape((1, count * width))
        };
        let points = Tensor::cat(&walk.iter().map(chunk).collect::<candle_core::Result<Vec<_>>>()?, 0)?;
        let products = points.matmul(&points.t()?)?.flatten_all()?.to_vec1::<f64>()?;
        sum.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use drdiff_kernels::{Builder, Source};
    use drdiff_model::ModelConfig;

    use super::*;

    fn network(noise_conditioning: bool) -> Network {
        let config: ModelConfig = serde_json::from_value(serde_json::json!({
            "vocab": 12, "width": 16, "embed": 16, "layers": 2, "heads": 1, "kv_heads": 1, "head_dim": 16,
            "hidden": 32, "context": 16, "noise_conditioning": noise_conditioning
        }))
        .unwrap();
        let builder = Builder::new(Source::Init(Noise::new(4, 0)), &Device::Cpu);
        Network::new(&builder, &config, DType::F32).unwrap()
    }

    fn windows(count: u32) -> Vec<Window> {
        let window = |w| Window {
            ids: (0..16).map(|i| (i * i + 5 * w) % 12).collect(),
            bytes: 16,
        };
        (0..count).map(window).collect()
    }

    #[test]
    fn products_are_those_of_mean_embeddings_and_grow_clear() {
        let points: Vec<f64> = (0..7).map(|i| -9.0 + 2.5 * f64::from(i)).collect();
        for conditioned in [false, true] {
            let MeasuredPath { products: found, nats } =
                measure_path(&network(conditioned), &windows(2), (4, 2), &points, &mut |_| {}).unwrap();
            for i in 0..7 {
                assert!((0..7).all(|j| (found[7 * i + j] - found[7 * j + i]).abs() < 1e-12));
                // Means of unit vectors are at most of length one.
                assert!((0.0..=1.0 + 1e-6).contains(&found[8 * i]));
            }
            assert!(found[48] > 0.9, "a token is clear in the end: {}", found[48]);
            assert!(found[0] < 0.5, "and open in the beginning: {}", found[0]);
            assert!(nats[0] > 2.0, "near ln 12: {}", nats[0]);
            assert!(nats[6] < 0.1 && nats[6] < nats[3], "{nats:?}");
        }
    }

    #[test]
    fn impossible_paths_are_refused() {
        let network = network(false);
        let none = |windows: &[Window], size, points: &[f64]| {
            measure_path(&network, windows, (size, 1), points, &mut |_| {}).is_err()
        };
        assert!(none(&[], 4, &[0.0]) && none(&windows(1), 0, &[0.0]) && none(&windows(1), 4, &[]));
    }
}
