//! Norms of the stream, with the residual sums before them.

use super::Value;
use super::ops::gradients;
use crate::Result;
use crate::ops::{self, RmsNorm};
use candle_core::Tensor;

impl Value {
    /// See [`ops::rms_norm`].
    ///
    /// # Errors
    /// If the gain's length is not the last dimension.
    pub fn rms_norm(&self, gain: &Tensor, eps: f64) -> Result<Self> {
        let (x, constant_gain) = (self.tensor.clone(), gain.detach());
        let y = ops::rms_norm(&x, Some(&constant_gain), eps)?;
        let [y] = Self::record(&[self, &Self::parameter(gain)], [y], move |[upstream]| {
            gradients(upstream, |dy| {
                let (dx, dgain) = RmsNorm::new(eps).backward_gained(&x, &constant_gain, dy)?;
                Ok(vec![Some(dx), Some(dgain)])
            })
        });
        Ok(y)
    }

    /// `sum = self + delta` and its norm, see [`ops::residual_norm`].
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn residual_norm(&self, delta: &Self, gain: &Tensor, eps: f64) -> Result<(Self, Self)> {
        let constant_gain = gain.detach();
        let (sum, normed) = ops::residual_norm(&self.tensor, &delta.tensor, &constant_gain, eps)?;
        let kept = sum.clone();
        let inputs = [self, delta, &Self::parameter(gain)];
        let [sum, normed] = Self::record(&inputs, [sum, normed], move |[dsum, dnormed]| {
            let Some(dnormed) = dnormed else {
                return Ok(vec![dsum.clone(), dsum, None]);
            };
            let (dx, dgain) = ops::residual_norm_backward(&kept, &constant_gain, dsum.as_ref(), &dnormed, eps)?;
            Ok(vec![Some(dx.clone()), Some(dx), Some(dgain)])
        });
        Ok((sum, normed))
    }

    /// `self + delta (1 + gate)`, see [`ops::gated_add`].
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn gated_add(&self, delta: &Self, gate: &Self) -> Result<Self> {
        let (branch, opening) = (delta.tensor.clone(), gate.tensor.clone());
        let sum = ops::gated_add(&self.tensor, &branch, &opening)?;
        let [sum] = Self::record(&[self, delta, gate], [sum], move |[upstream]| {
            gradients(upstream, |dy| {
                let [ddelta, dgate] = ops::gated_add_backward(&branch, &opening, dy)?;
                Ok(vec![Some(dy.clone()), Some(ddelta), Some(dgate)])
            })
        });
        Ok(sum)
    }

    /// `sum = self + delta (1 + gate)`, or this value if nothing is `added`, and its norm with a scale and a shift for
    /// each row, see [`ops::modulated_norm`].
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn modulated_norm(
        &self,
        added: Option<[&Self; 2]>,
        gain: &Tensor,
        modulation: &Self,
        eps: f64,
    ) -> Result<(Self, Self)> {
        let (constant_gain, rows) = (gain.detach(), modulation.tensor.clone());
        let kept = added.map(|added| added.map(|value| value.tensor.clone()));
        let (sum, normed) = ops::modulated_norm(
            &self.tensor,
            kept.as_ref().map(<[Tensor; 2]>::each_ref),
            &constant_gain,
            &rows,
            eps,
        )?;
        let gain = Self::parameter(gain);
        let mut inputs = vec![self, modulation, &gain];
        inputs.extend(added.into_iter().flatten());
        let kept_sum = sum.clone();
        let [sum, normed] = Self::record(&inputs, [sum, normed], move |[dsum, dnormed]| {
            let added = kept.as_ref().map(<[Tensor; 2]>::each_ref);
            let Some(dnormed) = dnormed else {
                let (Some(dsum), Some([delta, gate])) = (&dsum, added) else {
                    return Ok(vec![dsum]);
                };
                let [ddelta, dgate] = ops::gated_add_backward(delta, gate, dsum)?;
                return Ok(vec![Some(dsum.clone()), None, None, Some(ddelta), Some(dgate)]);
            };
            let all =
                ops::modulated_norm_backward(&kept_sum, added, &constant_gain, &rows, dsum.as_ref(), &dnormed, eps)?;
            let gradients = [all.x, all.modulation, all.gain].into_iter();
            Ok(gradients.chain(all.added.into_iter().flatten()).map(Some).collect())
        });
        Ok((sum, normed))
    }
}
