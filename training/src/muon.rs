//! Muon: momentum whose matrices are made orthogonal before they are applied.
//!
//! Keller Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024), with the scale of Moonlight
//! (Liu et al., arXiv 2502.16982, equation 4), under which AdamW's learning rate and weight decay carry over.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use drdiff_kernels::Params;
use drdiff_model::ModelConfig;

use crate::{MuonConfig, Result};

/// Coefficients of one Newton-Schulz iteration `a X + b (X Xᵀ) X + c (X Xᵀ)² X`: singular values from near 0 to 1 end
/// between about 0.7 and 1.2 after five.
const QUINTIC: (f64, f64, f64) = (3.4445, -4.775, 2.0315);
/// Root mean square of an entry's update that AdamW typically has (Moonlight, section 2.2).
const TYPICAL: f64 = 0.2;

/// Rows of a parameter that are one map of their own: queries, keys and values lie in one tensor, and so do gate and up.
struct Member {
    slot: usize,
    rows: (usize, usize),
    /// Whether the group holds its transpose, which has no more rows than columns.
    transposed: bool,
}

/// Matrices of one shape, `rows <= columns`, that are handled as one stack.
struct Group {
    members: Vec<Member>,
    /// `[members, rows, columns]`, f32.
    momentum: Tensor,
}

/// The momenta of all matrices that Muon moves.
pub(crate) struct Muon {
    groups: Vec<Group>,
}

impl Muon {
    /// Which parameters of `params` Muon moves: the maps of the blocks. Everything else (tables, gains, biases, the maps
    /// into and out of the stream) stays with AdamW.
    pub(crate) fn new(params: &Params, model: &ModelConfig) -> Result<Self> {
        let mut shapes: BTreeMap<(usize, usize), Vec<Member>> = BTreeMap::new();
        let mut device = None;
        for (slot, (name, var)) in params.vars().enumerate() {
            let Some(parts) = parts(name, model) else { continue };
            let columns = var.dim(1)?;
            let mut first = 0;
            for rows in parts {
                shapes
                    .entry((rows.min(columns), rows.max(columns)))
                    .or_default()
                    .push(Member {
                        slot,
                        rows: (first, rows),
                        transposed: rows > columns,
                    });
                first += rows;
            }
            device = Some(var.device().clone());
        }
        let groups = shapes
            .into_iter()
            .zip(std::iter::repeat(device))
            .filter_map(|(group, device)| Some((group, device?)))
            .map(|(((rows, columns), members), device)| {
                let momentum = Tensor::zeros((members.len(), rows, columns), DType::F32, &device)?;
                Ok(Group { members, momentum })
            })
            .collect::<Result<_>>()?;
        Ok(Self { groups })
    }

    /// Whether the parameter of this name is Muon's.
    pub(crate) fn moves(name: &str, model: &ModelConfig) -> bool {
        parts(name, model).is_some()
    }

    /// The direction of every parameter, by slot, to be taken off times the learning rate. `gradients` are those of all
    /// slots, `clip` (a scalar) multiplies them.
    pub(crate) fn directions(
        &mut self,
        gradients: &[Option<Tensor>],
        clip: &Tensor,
        config: &MuonConfig,
    ) -> Result<BTreeMap<usize, Tensor>> {
        let mut stacks = Vec::with_capacity(self.groups.len());
        for group in &mut self.groups {
            let gradient = group
                .stack(|slot| gradients[slot].as_ref())?
                .map_or_else(|| group.momentum.zeros_like(), |stack| stack.broadcast_mul(clip))?;
            group.momentum = (group.momentum.affine(config.momentum, 0.0)? + &gradient)?;
            // Nesterov's look ahead.
            let ahead = (gradient + group.momentum.affine(config.momentum, 0.0)?)?;
            let (_, _, longest) = ahead.dims3()?;
            let scale = config.rate * TYPICAL * (longest as f64).sqrt();
            stacks.push(orthogonal(&ahead, config.iterations)?.affine(scale, 0.0)?);
        }
        self.parameters(&stacks)
    }

    /// The momentum of every parameter, by slot and in its shape.
    pub(crate) fn momenta(&self) -> Result<BTreeMap<usize, Tensor>> {
        let stacks: Vec<Tensor> = self.groups.iter().map(|group| group.momentum.clone()).collect();
        self.parameters(&stacks)
    }

    /// Takes momenta as [`Muon::momenta`] gives them.
    pub(crate) fn set_momenta(&mut self, momenta: &BTreeMap<usize, Tensor>) -> Result<()> {
        for group in &mut self.groups {
            if let Some(momentum) = group.stack(|slot| momenta.get(&slot))? {
                group.momentum = momentum;
            }
        }
        Ok(())
    }

    /// Stacks of all groups, put together again to the parameters that their matrices are parts of.
    fn parameters(&self, stacks: &[Tensor]) -> Result<BTreeMap<usize, Tensor>> {
        let mut parts: BTreeMap<usize, BTreeMap<usize, Tensor>> = BTreeMap::new();
        for (group, stack) in self.groups.iter().zip(stacks) {
            for (index, member) in group.members.iter().enumerate() {
                let matrix = stack.get(index)?;
                let matrix = if member.transposed { matrix.t()? } else { matrix };
                parts.entry(member.slot).or_default().insert(member.rows.0, matrix);
            }
        }
        parts
            .into_iter()
            .map(|(slot, parts)| {
                let parts: Vec<Tensor> = parts.into_values().collect();
                Ok((slot, Tensor::cat(&parts, 0)?.contiguous()?))
            })
            .collect()
    }
}

impl Group {
    /// The members' matrices in f32, `[members, rows, columns]`, from tensors of whole parameters; `None` if one is
    /// missing.
    fn stack<'a>(&self, of: impl Fn(usize) -> Option<&'a Tensor>) -> Result<Option<Tensor>> {
        let mut matrices = Vec::with_capacity(self.members.len());
        for member in &self.members {
            let Some(tensor) = of(member.slot) else { return Ok(None) };
            let matrix = tensor.narrow(0, member.rows.0, member.rows.1)?;
            matrices.push(if member.transposed { matrix.t()? } else { matrix });
        }
        Ok(Some(Tensor::stack(&matrices, 0)?.to_dtype(DType::F32)?))
    }
}

/// How many rows each map of a parameter has; `None` for parameters that are no maps of a block.
fn parts(name: &str, model: &ModelConfig) -> Option<Vec<usize>> {
    let (q, kv) = (model.heads * model.head_dim, model.kv_heads * model.head_dim);
    match name.strip_prefix("blocks.")?.rsplit('.').next()? {
        "qkv" => Some(vec![q, kv, kv]),
        "gate_up" => Some(vec![model.hidden, model.hidden]),
        "out" | "down" => Some(vec![model.width]),
        _ => None,
    }
}

/// The orthogonal factors of a stack `[n, rows, columns]`, `rows <= columns`, roughly: all singular values near 1. On a
/// GPU in bf16, which the iteration tolerates.
fn orthogonal(stack: &Tensor, iterations: usize) -> Result<Tensor> {
    let dtype = if stack.device().is_cuda() {
        DType::BF16
    } else {
        DType::F32
    };
    // The Frobenius norm is no less than the largest singular value.
    let norm = stack.sqr()?.sum_keepdim((1, 2))?.sqrt()?.affine(1.0, 1e-7)?;
    let mut x = stack.broadcast_div(&norm)?.to_dtype(dtype)?;
    let (a, b, c) = QUINTIC;
    for _ in 0..iterations {
        let gram = x.matmul(&x.t()?)?;
        let polynomial = (gram.affine(b, 0.0)? + gram.matmul(&gram)?.affine(c, 0.0)?)?;
        x = (x.affine(a, 0.0)? + polynomial.matmul(&x)?)?;
    }
    Ok(x.to_dtype(DType::F32)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use drdiff_testkit::{Inputs, tensor, values};

    use super::*;

    /// `X Xᵀ` in f64.
    fn gram(x: &[f64], rows: usize) -> Vec<f64> {
        let columns = x.len() / rows;
        let dot = |i: usize, j: usize| (0..columns).map(|k| x[i * columns + k] * x[j * columns + k]).sum();
        (0..rows * rows).map(|ij| dot(ij / rows, ij % rows)).collect()
    }

    #[test]
    fn the_iteration_matches_its_twin_and_brings_singular_values_near_one() {
        let (rows, columns) = (8, 20);
        let mut x = Inputs::new(3).numbers(rows * columns);
        let fast = orthogonal(&tensor(&x, &[1, rows, columns]).unwrap(), 5).unwrap();
        let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt() + 1e-7;
        x.iter_mut().for_each(|x| *x /= norm);
        for _ in 0..5 {
            let g = gram(&x, rows);
            let g2 = gram(&g, rows);
            let p: Vec<f64> = g
                .iter()
                .zip(&g2)
                .map(|(g, g2)| QUINTIC.1 * g + QUINTIC.2 * g2)
                .collect();
            x = (0..rows * columns)
                .map(|ij| {
                    let (i, j) = (ij / columns, ij % columns);
                    QUINTIC.0 * x[ij] + (0..rows).map(|k| p[i * rows + k] * x[k * columns + j]).sum::<f64>()
                })
                .collect();
        }
        drdiff_testkit::assert_close("orthogonal factor", &values(&fast).unwrap(), &x);
        // The squares of the singular values sum to the number of rows if all are 1.
        let squares: f64 = (0..rows).map(|i| gram(&x, rows)[i * rows + i]).sum::<f64>() / rows as f64;
        assert!((0.6..1.4).contains(&squares), "{squares}");
    }

    #[test]
    fn parameters_are_taken_apart_and_put_together_again() {
        let model = ModelConfig {
            width: 8,
            heads: 4,
            kv_heads: 2,
            head_dim: 4,
            hidden: 12,
            ..tiny()
        };
        let mut inputs = Inputs::new(1);
        let shapes = [
            ("blocks.0.attention.qkv", 32, 8),
            ("blocks.0.feed_forward.shared.down", 8, 12),
        ];
        let builder = drdiff_kernels::Builder::new(
            drdiff_kernels::Source::Init(drdiff_kernels::Noise::new(0, 0)),
            &Device::Cpu,
        );
        for (name, rows, columns) in shapes {
            builder
                .tensor(name, (rows, columns), drdiff_kernels::Init::Const(0.0))
                .unwrap();
        }
        let mut muon = Muon::new(&builder.finish().0, &model).unwrap();
        assert_eq!(muon.groups.len(), 2, "8 x 8 twice and 8 x 16; 8 x 12 is alone");
        let momenta: BTreeMap<usize, Tensor> = shapes
            .iter()
            .enumerate()
            .map(|(slot, (_, rows, columns))| {
                (
                    slot,
                    tensor(&inputs.numbers(rows * columns), &[*rows, *columns]).unwrap(),
                )
            })
            .collect();
        muon.set_momenta(&momenta).unwrap();
        for (slot, momentum) in muon.momenta().unwrap() {
            assert_eq!(values(&momentum).unwrap(), values(&momenta[&slot]).unwrap());
        }
    }

    fn tiny() -> ModelConfig {
        serde_json::from_str(r#"{"vocab": 16, "width": 8, "embed": 8, "layers": 1, "heads": 4, "kv_heads": 2, "head_dim": 4, "hidden": 12, "context": 8}"#).unwrap()
    }
}
