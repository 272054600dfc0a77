//! From the tensors of a file to those of a network.

use std::collections::{BTreeMap, BTreeSet};

use drdiff_kernels::Loaded;

use super::names::{Part, Style};
use super::stack::{in_f32, plus_one, reorder, stack};
use super::{Precision, Result, dims};
use crate::{Head, ModelConfig};

/// How the pairs of a head that turn together lie in the rows of queries and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pairs {
    /// Number `i` of the first half with number `i` of the second, as this program has them.
    Halves,
    /// Number `2i` with its neighbour: Llama in GGUF.
    Neighbours,
}

/// Tensors of a file, read as they are asked for.
pub(super) struct Tensors<F> {
    style: Style,
    pairs: Pairs,
    precision: Precision,
    read: F,
    left: BTreeSet<String>,
}

impl<F: FnMut(&str) -> Result<Option<Loaded>>> Tensors<F> {
    /// The tensors with these names, which `read` gives.
    pub(super) fn new(
        (style, pairs, precision): (Style, Pairs, Precision),
        names: impl IntoIterator<Item = String>,
        read: F,
    ) -> Self {
        Self {
            style,
            pairs,
            precision,
            read,
            left: names.into_iter().collect(),
        }
    }

    /// All tensors of a network of this shape, under this program's names. A tensor that the network does not have is refused,
    /// but for `ignored` ones.
    pub(super) fn assemble(
        mut self,
        config: &ModelConfig,
        ignored: impl Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, Loaded>> {
        config.validate().map_err(|error| error.to_string())?;
        let style = self.style;
        let mut tensors = BTreeMap::new();
        let mut put = |name: String, weight: Loaded| tensors.insert(name, weight);
        put("embedding".to_owned(), self.take(style.embedding())?);
        put("final_norm.gain".to_owned(), self.gain(style.final_norm())?);
        if config.head == Head::Separate {
            put("head".to_owned(), self.take(style.head())?);
        }
        for layer in 0..config.layers {
            let ours = |name: &str| format!("blocks.{layer}.{name}");
            let mut gain = |part| self.gain(&style.weight(layer, part));
            put(ours("attention_norm.gain"), gain(Part::AttentionNorm)?);
            put(ours("feed_forward_norm.gain"), gain(Part::FeedForwardNorm)?);
            if config.form.branch_norms {
                put(ours("attention_branch_norm.gain"), gain(Part::AttentionBranchNorm)?);
                put(
                    ours("feed_forward_branch_norm.gain"),
                    gain(Part::FeedForwardBranchNorm)?,
                );
            }
            if config.qk_norm_eps.is_some() {
                put(ours("attention.q_gain"), gain(Part::QueryNorm)?);
                put(ours("attention.k_gain"), gain(Part::KeyNorm)?);
            }
            let mut weight = |part| self.take(&style.weight(layer, part));
            put(ours("attention.out"), weight(Part::Out)?);
            let gate_up = vec![weight(Part::Gate)?, weight(Part::Up)?];
            put(ours("feed_forward.shared.gate_up"), stack(gate_up)?);
            put(ours("feed_forward.shared.down"), weight(Part::Down)?);
            let qkv = self.queries_keys_values(config, |part| style.weight(layer, part))?;
            put(ours("attention.qkv"), qkv);
            if config.qkv_bias {
                let bias = self.queries_keys_values(config, |part| style.bias(layer, part))?;
                put(ours("attention.qkv_bias"), bias);
            }
        }
        match self.left.into_iter().find(|name| !ignored(name)) {
            Some(name) => Err(format!("nothing is known of its tensor `{name}`")),
            None => Ok(tensors),
        }
    }

    fn queries_keys_values(&mut self, config: &ModelConfig, name: impl Fn(Part) -> String) -> Result<Loaded> {
        let q = self.take(&name(Part::Query))?;
        let k = self.take(&name(Part::Key))?;
        let (q, k) = match self.pairs {
            Pairs::Halves => (q, k),
            Pairs::Neighbours => {
                let order = |row| neighbours_to_halves(row, config.head_dim);
                for (weight, heads) in [(&q, config.heads), (&k, config.kv_heads)] {
                    let (rows, wanted) = (
                        dims(weight).first().copied().unwrap_or_default(),
                        heads * config.head_dim,
                    );
                    if rows != wanted {
                        return Err(format!(
                            "`{}` and `{}` have {rows} rows where {wanted} are wanted",
                            name(Part::Query),
                            name(Part::Key)
                        ));
                    }
                }
                (reorder(&q, order)?, reorder(&k, order)?)
            }
        };
        stack(vec![q, k, self.take(&name(Part::Value))?])
    }

    /// The gain of a norm.
    fn gain(&mut self, name: &str) -> Result<Loaded> {
        let weight = self.take(name)?;
        match self.style {
            Style::HuggingFaceGemma => plus_one(&weight),
            Style::Gguf | Style::HuggingFace => Ok(weight),
        }
    }

    fn take(&mut self, name: &str) -> Result<Loaded> {
        self.left.remove(name);
        let weight = (self.read)(name)?.ok_or_else(|| format!("its tensor `{name}` is missing"))?;
        match self.precision {
            Precision::Stored => Ok(weight),
            Precision::F32 => in_f32(&weight),
        }
    }
}

/// Where the row of a head whose pairs are halves lies among rows whose pairs are neighbours.
fn neighbours_to_halves(row: usize, head_dim: usize) -> usize {
    let (head, at, half) = (row / head_dim, row % head_dim, head_dim / 2);
    head * head_dim + 2 * (at % half) + at / half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_halves() {
        let order: Vec<usize> = (0..8).map(|row| neighbours_to_halves(row, 4)).collect();
        assert_eq!(order, [0, 2, 1, 3, 4, 6, 5, 7]);
    }
}
