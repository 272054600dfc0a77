//! Unit rows at both ends, between which everything is evidence.

use candle_core::{DType, Device, Tensor};
use drdiff_kernels::{Builder, Init, Linear, Tape, Value, rms_norm};

use crate::{Input, LastPrediction, ModelConfig, Result, Tables};

/// Token embeddings are the unit rows `e(x)` of one table, which serves three ends: anchors enter as `e(x)`, soft
/// positions as the direction of their evidence `y`, and logits are `<y + g, e(x)> + b(x)` where `g` is what the
/// network adds from the context. With `y = 0` this is a masked language model with tied embeddings.
pub(crate) struct EvidenceEnds {
    dtype: DType,
    width: usize,
    embed: usize,
    eps: f64,
    embedding: Linear,
    token_map: Linear,
    anchor: Tensor,
    absorbed: Tensor,
    strength: Tensor,
    self_condition: Linear,
    evidence_map: Linear,
    bias: Tensor,
}

impl EvidenceEnds {
    pub(super) fn new(builder: &Builder, config: &ModelConfig, dtype: DType) -> Result<Self> {
        let (width, embed) = (config.width, config.embed);
        let small = Init::Normal(0.02);
        Ok(Self {
            dtype,
            width,
            embed,
            eps: config.norm_eps,
            embedding: builder.linear("embedding", config.vocab, embed, Init::Normal(0.1))?,
            token_map: builder.linear("token_map", width, embed, Init::Normal((embed as f64).powf(-0.5)))?,
            anchor: builder.tensor("anchor", width, small)?,
            absorbed: builder.tensor("absorbed", width, small)?,
            strength: builder.tensor("strength", (1, width), small)?,
            self_condition: builder.linear("self_condition", width, embed, Init::Const(0.0))?,
            evidence_map: builder.linear("evidence_map", embed, width, small)?,
            bias: builder.tensor("bias", config.vocab, Init::Const(0.0))?,
        })
    }

    pub(super) fn bias(&self) -> &Tensor {
        &self.bias
    }

    fn device(&self) -> &Device {
        self.bias.device()
    }

    /// Unit embeddings `e(x)`, `[vocab, embed]`.
    pub(super) fn unit_embeddings(&self) -> Result<Tensor> {
        let table = match &self.embedding {
            Linear::Dense(table) => table.clone(),
            Linear::Quantized(table) => table.dequantize(self.device())?,
        };
        let root = (self.embed as f64).sqrt();
        Ok(rms_norm(&table, None, self.eps)?.affine(root.recip(), 0.0)?)
    }

    pub(super) fn tables(&self, tape: Option<&Tape>) -> Result<Tables> {
        let unit = Value::entered(tape, &self.unit_embeddings()?);
        let input = unit.through(|unit| {
            let anchors = self.soft_map(unit)?.broadcast_add(&self.anchor.to_dtype(self.dtype)?)?;
            let absorbed = self.absorbed.to_dtype(self.dtype)?.unsqueeze(0)?;
            Ok(Tensor::cat(&[anchors, absorbed], 0)?)
        })?;
        Ok(Tables::new(unit, Some(input), tape))
    }

    /// The direction of evidence, scaled to unit mean square and mapped into the residual stream.
    fn soft_map(&self, evidence: &Tensor) -> drdiff_kernels::Result<Tensor> {
        let direction = rms_norm(evidence, None, self.eps)?;
        self.token_map.forward(&direction.to_dtype(self.dtype)?)
    }

    pub(super) fn embed(&self, tables: &Tables, input: &Input) -> Result<Value> {
        let mut table = tables.input()?.clone();
        if let Some(soft) = &input.soft {
            table = table.through(|table| {
                let strength = soft.strength.matmul(&self.strength)?.to_dtype(self.dtype)?;
                let mapped = (self.soft_map(&soft.evidence)? + strength)?;
                Ok(Tensor::cat(&[table, &mapped], 0)?)
            })?;
        }
        let x = table.rows(&input.index)?;
        match &input.last {
            None => Ok(x),
            Some(LastPrediction { x_hat, place, .. }) => {
                let mapped = self.self_condition.forward(&x_hat.to_dtype(self.dtype)?)?;
                let none = Tensor::zeros((1, self.width), self.dtype, mapped.device())?;
                let table = Value::entered(tables.tape(), &Tensor::cat(&[none, mapped], 0)?);
                Ok(x.add(&table.rows(place)?)?)
            }
        }
    }

    pub(super) fn evidence(&self, normed: &Value) -> Result<Value> {
        Ok(normed.linear(&self.evidence_map)?)
    }

    /// `tables` are those of a frozen network.
    pub(super) fn logits(&self, evidence: &Tensor, tables: Option<&Tables>) -> Result<Tensor> {
        let products = match &self.embedding {
            // A quantised table holds unit rows already (see `save_gguf`).
            Linear::Quantized(table) => table.forward(&evidence.to_dtype(DType::F32)?)?,
            Linear::Dense(_) => {
                let unit = match tables {
                    Some(tables) => tables.head().tensor().clone(),
                    None => self.unit_embeddings()?,
                };
                Linear::Dense(unit.to_dtype(evidence.dtype())?).forward(evidence)?
            }
        };
        Ok(products.to_dtype(DType::F32)?.broadcast_add(&self.bias)?)
    }
}
