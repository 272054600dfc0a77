//! How decoders of others differ from Llama, as far as this network follows them.

use std::sync::Arc;

use candle_core::Device;
use drdiff_attention::{CausalWindow, LayerPlans, LocalPlan, block_causal};
use drdiff_kernels::{Rotary, TILE, TilePlan, frequencies};
use drdiff_routing::Activation;
use serde::{Deserialize, Serialize};

use crate::{Error, ModelConfig, Result};

/// Switches of a decoder; by default all are as in Llama.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Form {
    /// What the gate of the shared expert goes through; silu by default.
    pub activation: Activation,
    /// Whether what attention and feed-forward layers add to the stream is normed first. Off by default.
    pub branch_norms: bool,
    /// What rows of the table of tokens are multiplied by as they enter; 1 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_scale: Option<f64>,
    /// Layers that see the last positions alone; none by default. A network that has some scores texts; it does not write or learn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<Local>,
}

/// Layers that see the last positions alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Local {
    /// These layers, counted from 0.
    pub layers: Vec<usize>,
    /// Positions that they see, their own among them; a multiple of 64.
    pub window: usize,
    /// Base of the rotary frequencies in them, which are never stretched.
    pub rope_base: f64,
}

impl Form {
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the switches of a network of `layers` layers.
    ///
    /// # Errors
    /// Names the first thing that is impossible.
    pub(crate) fn validate(&self, layers: usize) -> Result<()> {
        let wrong = |what: String| Err(Error::Config(what));
        if let Some(scale) = self
            .embedding_scale
            .filter(|scale| !(scale.is_finite() && *scale > 0.0))
        {
            return wrong(format!("`form.embedding_scale` is {scale}; give a number above 0"));
        }
        let Some(Local {
            layers: chosen,
            window,
            rope_base,
        }) = &self.local
        else {
            return Ok(());
        };
        if let Some(layer) = chosen.iter().find(|layer| **layer >= layers) {
            return wrong(format!(
                "`form.local` names layer {layer} of a network with {layers} layers"
            ));
        }
        if *window == 0 || !window.is_multiple_of(TILE) {
            return wrong(format!("`form.local.window` is {window}; give a multiple of {TILE}"));
        }
        if !(rope_base.is_finite() && *rope_base >= 1.0) {
            return wrong(format!(
                "`form.local.rope_base` is {rope_base}; give a number from 1 on"
            ));
        }
        Ok(())
    }
}

impl ModelConfig {
    /// What the layers read of one text of `len` clean positions: each position those up to itself, in layers with a window the last
    /// of them.
    ///
    /// # Errors
    /// If `len` is 0.
    pub fn causal_plans(&self, len: usize, device: &Device) -> Result<LayerPlans> {
        let plans = LayerPlans::from(TilePlan::new(&[block_causal(len, 1)?])?);
        let Some(local) = &self.form.local else {
            return Ok(plans);
        };
        let positions = (0..len as i64).collect();
        let frequencies = frequencies(self.head_dim, local.rope_base);
        Ok(plans.with_local(Arc::new(LocalPlan {
            layers: local.layers.clone(),
            window: CausalWindow::new(len, local.window)?,
            rotary: Rotary::with_frequencies(&[positions], &frequencies, device)?,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_impossible_is_named() {
        let form = |window, rope_base, layer| Form {
            local: Some(Local {
                layers: vec![0, layer],
                window,
                rope_base,
            }),
            ..Form::default()
        };
        let told = |form: Form| form.validate(4).map_or_else(|e| e.to_string(), |()| String::new());
        assert_eq!(told(form(512, 1e4, 3)), "");
        assert!(told(form(500, 1e4, 3)).contains("`form.local.window` is 500"));
        assert!(told(form(512, f64::NAN, 3)).contains("`form.local.rope_base`"));
        assert!(told(form(512, 1e4, 4)).contains("layer 4"));
        let scaled = Form {
            embedding_scale: Some(0.0),
            ..Form::default()
        };
        assert!(told(scaled).contains("`form.embedding_scale`"));
    }
}
