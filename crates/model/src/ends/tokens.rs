//! Rows of the residual stream's width at both ends, as in most language models.

use candle_core::{DType, Device, Tensor};
use drdiff_kernels::{Builder, Init, Linear, Tape, Value};

use crate::{Error, Head, Input, Mask, ModelConfig, Result, Tables};

/// A logit that no draw and no gradient ever sees.
const NEVER: f32 = -1e9;

/// A table of tokens, and another at the other end or the same once more. Absorbed positions enter as a vector of their own or
/// as the embedding of a token, which is then never predicted.
pub(crate) struct TokenEnds {
    dtype: DType,
    vocab: usize,
    embedding: Linear,
    head: Option<Linear>,
    mask: Mask,
    scale: Option<f64>,
    absorbed: Option<Tensor>,
    bias: Tensor,
}

impl TokenEnds {
    pub(super) fn new(builder: &Builder, config: &ModelConfig, dtype: DType) -> Result<Self> {
        let (vocab, width) = (config.vocab, config.width);
        let small = Init::Normal(0.02);
        let mut bias = vec![0.0; vocab];
        if let Mask::Token(token) = config.mask {
            bias[token as usize] = NEVER;
        }
        let separate = config.head == Head::Separate;
        let learned = config.mask == Mask::Learned;
        Ok(Self {
            dtype,
            vocab,
            embedding: builder.linear("embedding", vocab, width, small)?,
            head: separate
                .then(|| builder.linear("head", vocab, width, small))
                .transpose()?,
            mask: config.mask,
            scale: config.form.embedding_scale,
            absorbed: learned.then(|| builder.tensor("absorbed", width, small)).transpose()?,
            bias: Tensor::from_vec(bias, vocab, builder.device())?,
        })
    }

    pub(super) fn bias(&self) -> &Tensor {
        &self.bias
    }

    fn device(&self) -> &Device {
        self.bias.device()
    }

    /// The map from evidence to logits.
    fn output(&self) -> &Linear {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    pub(super) fn rows(&self) -> Result<Tensor> {
        Ok(match self.output() {
            Linear::Dense(table) => table.to_dtype(DType::F32)?,
            Linear::Quantized(table) => table.dequantize(self.device())?,
        })
    }

    /// A table that is stored in few bits is not made whole for a network that does not learn: passes read some of its rows.
    pub(super) fn tables(&self, tape: Option<&Tape>, frozen: bool) -> Result<Tables> {
        let learned = |map: &Linear| match map {
            Linear::Dense(table) => Ok(Value::entered(tape, table)),
            Linear::Quantized(table) => Ok::<_, Error>(Value::entered(tape, &table.dequantize(self.device())?)),
        };
        if frozen && matches!(self.embedding, Linear::Quantized(_)) {
            let none = Tensor::zeros((0, 0), DType::F32, self.device())?;
            return Ok(Tables::new(Value::constant(&none), None, None));
        }
        let input = learned(&self.embedding)?.through(|table| {
            let table = table.to_dtype(self.dtype)?;
            match &self.absorbed {
                Some(absorbed) => Ok(Tensor::cat(
                    &[&table, &absorbed.to_dtype(self.dtype)?.unsqueeze(0)?],
                    0,
                )?),
                None => Ok(table),
            }
        })?;
        let head = match frozen {
            true => Value::constant(&Tensor::zeros((0, 0), DType::F32, self.device())?),
            false => learned(self.output())?,
        };
        Ok(Tables::new(head, Some(input), tape))
    }

    pub(super) fn embed(&self, tables: &Tables, input: &Input) -> Result<Value> {
        let rows = self.rows_of(tables, input)?;
        Ok(match self.scale {
            Some(scale) => rows.through(|rows| Ok(rows.affine(scale, 0.0)?))?,
            None => rows,
        })
    }

    /// The rows of the table that the rows of a pass read.
    fn rows_of(&self, tables: &Tables, input: &Input) -> Result<Value> {
        if input.soft.is_some() || input.last.is_some() {
            return Err(Error::Config(
                "this network reads neither soft positions nor its last prediction".to_owned(),
            ));
        }
        if let (Linear::Quantized(table), false) = (&self.embedding, tables.has_input()) {
            let ids = self.ids(input)?;
            return Ok(Value::constant(
                &self.with_absorbed(table.rows(&self.known(&ids))?, &ids)?,
            ));
        }
        let index = match self.mask {
            Mask::Token(_) => {
                let ids = self.ids(input)?;
                Tensor::from_slice(&ids, ids.len(), self.device())?
            }
            _ => input.index.clone(),
        };
        Ok(tables.input()?.rows(&index)?)
    }

    /// The rows of the table that the rows of a pass read.
    fn ids(&self, input: &Input) -> Result<Vec<u32>> {
        let index = input.index.to_vec1::<u32>()?;
        Ok(index.into_iter().map(|id| self.token(id)).collect())
    }

    /// The row of the table that an entry of [`Input::index`] reads.
    fn token(&self, id: u32) -> u32 {
        match self.mask {
            Mask::Token(mask) if id as usize >= self.vocab => mask,
            _ => id,
        }
    }

    /// The same rows, of which absorbed ones read any token for now.
    fn known(&self, ids: &[u32]) -> Vec<u32> {
        let absorbed = |id: u32| self.absorbed.is_some() && id as usize == self.vocab;
        ids.iter().map(|id| if absorbed(*id) { 0 } else { *id }).collect()
    }

    /// `rows` with the vector of absorbed positions where `ids` are beyond the vocabulary.
    fn with_absorbed(&self, rows: Tensor, ids: &[u32]) -> Result<Tensor> {
        let Some(absorbed) = &self.absorbed else {
            return Ok(rows);
        };
        if ids.iter().all(|id| (*id as usize) < self.vocab) {
            return Ok(rows);
        }
        let table = Tensor::cat(&[&rows, &absorbed.to_dtype(rows.dtype())?.unsqueeze(0)?], 0)?;
        let last = ids.len() as u32;
        let place = |(at, id): (usize, &u32)| if (*id as usize) < self.vocab { at as u32 } else { last };
        let places: Vec<u32> = ids.iter().enumerate().map(place).collect();
        Ok(table.index_select(&Tensor::from_vec(places, ids.len(), self.device())?, 0)?)
    }

    pub(super) fn logits(&self, evidence: &Tensor) -> Result<Tensor> {
        let products = match self.output() {
            Linear::Quantized(table) => table.forward(&evidence.to_dtype(DType::F32)?)?,
            dense => dense.forward(evidence)?,
        };
        let logits = products.to_dtype(DType::F32)?;
        match self.mask {
            Mask::Token(_) => Ok(logits.broadcast_add(&self.bias)?),
            _ => Ok(logits),
        }
    }
}
