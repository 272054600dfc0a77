//! What came of a pass that was learned from.

use candle_core::Tensor;
use drdiff_kernels::Value;
use drdiff_model::{Hidden, Loss};

use crate::{Result, RoutingLoad};

/// What came of a pass.
pub(crate) struct Learned {
    /// The loss that is told, a scalar.
    pub(crate) value: Tensor,
    /// That of next tokens, a scalar.
    pub(crate) next_token: Option<Tensor>,
    /// What is learned from: that, and what routers add.
    pub(crate) objective: Value,
    /// What routers did.
    pub(crate) load: RoutingLoad,
}

impl Learned {
    /// A pass whose loss is `value`, behind what the blocks made of its rows.
    pub(crate) fn new(value: &Value, hidden: &Hidden) -> Result<Self> {
        let objective = match hidden.aux_loss()? {
            Some(aux) => value.add(&aux)?,
            None => value.clone(),
        };
        Ok(Self {
            value: value.tensor().clone(),
            next_token: None,
            objective,
            load: RoutingLoad::of(hidden.routings()),
        })
    }
}

impl TryFrom<Loss> for Learned {
    type Error = crate::Error;

    fn try_from(loss: Loss) -> Result<Self> {
        Ok(Self {
            objective: loss.objective()?,
            load: RoutingLoad::of(&loss.routings),
            value: loss.noisy,
            next_token: loss.next_token,
        })
    }
}
