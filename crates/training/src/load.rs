//! What the routers of a run do: how rows spread over experts, and whether a router has collapsed.

use std::collections::BTreeMap;

use candle_core::Tensor;
use drdiff_routing::Routing;
use serde::Serialize;

use crate::Result;

/// An expert with less than this share of what it would have at even load is as good as dead.
const DEAD: f64 = 0.1;
/// A router whose softmax has less than this share of the largest entropy looks at one expert only.
const CERTAIN: f64 = 0.05;

/// Choices of the routers of some passes, still on the device where they are.
#[derive(Debug, Clone, Default)]
pub struct RoutingLoad {
    layers: BTreeMap<usize, Layer>,
}

#[derive(Debug, Clone)]
struct Layer {
    counts: Vec<u64>,
    /// Sum of the mean entropies of so many passes.
    entropy: Tensor,
    passes: u64,
}

/// One routed layer in the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerLoad {
    /// The layer.
    pub layer: usize,
    /// Share of the rows that each expert had; they sum to one.
    pub load: Vec<f64>,
    /// Mean entropy of the router's softmax, as a share of the largest possible.
    pub entropy: f64,
    /// What is wrong, if something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm: Option<String>,
}

impl RoutingLoad {
    /// What the routers of one pass did.
    pub(crate) fn of(routings: &[(usize, Routing)]) -> Self {
        let layer = |(layer, routing): &(usize, Routing)| {
            let load = Layer {
                counts: routing.counts.iter().map(|count| *count as u64).collect(),
                entropy: routing.entropy.detach(),
                passes: 1,
            };
            (*layer, load)
        };
        Self {
            layers: routings.iter().map(layer).collect(),
        }
    }

    /// How often an expert ran for a row, over all layers.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.layers.values().flat_map(|layer| &layer.counts).sum()
    }

    /// Adds the choices of other passes.
    ///
    /// # Errors
    /// If an operation fails.
    pub fn add(&mut self, other: Self) -> Result<()> {
        for (layer, new) in other.layers {
            match self.layers.get_mut(&layer) {
                None => {
                    self.layers.insert(layer, new);
                }
                Some(sum) => {
                    sum.counts
                        .iter_mut()
                        .zip(&new.counts)
                        .for_each(|(sum, new)| *sum += new);
                    sum.entropy = (&sum.entropy + &new.entropy)?;
                    sum.passes += new.passes;
                }
            }
        }
        Ok(())
    }

    /// Reads everything from the device; `before` is what was read last. An expert counts as dead when it was so both times:
    /// while rows are still alike, one expert or another is chosen by hardly any.
    ///
    /// # Errors
    /// If that fails.
    pub fn read(&self, before: &[LayerLoad]) -> Result<Vec<LayerLoad>> {
        let read = |(layer, sum): (&usize, &Layer)| {
            let total = sum.counts.iter().sum::<u64>().max(1) as f64;
            let entropy = f64::from(sum.entropy.to_scalar::<f32>()?) / sum.passes as f64;
            let load: Vec<f64> = sum.counts.iter().map(|count| *count as f64 / total).collect();
            Ok(LayerLoad {
                layer: *layer,
                alarm: alarm(&load, before.iter().find(|before| before.layer == *layer), entropy),
                load,
                entropy,
            })
        };
        self.layers.iter().map(read).collect()
    }
}

/// What is wrong with a router, in words.
fn alarm(load: &[f64], before: Option<&LayerLoad>, entropy: f64) -> Option<String> {
    let fair = (load.len().max(1) as f64).recip();
    let low = |load: f64| load < DEAD * fair;
    let was_low = |expert: &usize| before.is_some_and(|before| before.load.get(*expert).is_some_and(|load| low(*load)));
    let dead: Vec<String> = (0..load.len())
        .filter(|expert| low(load[*expert]) && was_low(expert))
        .map(|expert| expert.to_string())
        .collect();
    if !dead.is_empty() {
        return Some(format!(
            "experts {} have almost no rows; raise `routing.balance`, or lower the learning rate",
            dead.join(", ")
        ));
    }
    (entropy < CERTAIN).then(|| {
        format!("the router looks at one expert only (entropy {entropy:.3} of 1); raise `routing.z`, or lower the learning rate")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collapse_is_named() {
        let before = LayerLoad {
            layer: 0,
            load: vec![0.0, 0.0, 1.0, 0.0],
            entropy: 0.9,
            alarm: None,
        };
        assert_eq!(alarm(&[0.3, 0.2, 0.25, 0.25], Some(&before), 0.8), None);
        assert_eq!(alarm(&[0.5, 0.01, 0.49, 0.0], None, 0.8), None, "seen once");
        let dead = alarm(&[0.5, 0.01, 0.49, 0.0], Some(&before), 0.8).unwrap();
        assert!(dead.contains("experts 1, 3 have almost no rows"), "{dead}");
        assert!(alarm(&[0.5, 0.5], None, 0.01).unwrap().contains("one expert only"));
    }
}
