//! The sentence embeddings of all-MiniLM-L6-v2: a BERT (Wang et al. 2020, arXiv 2002.10957) whose last states are averaged and
//! brought to length 1 (Reimers and Gurevych 2019, arXiv 1908.10084).

use std::fs;
use std::path::Path;

use candle_core::{Device, Result as TensorResult, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config, DTYPE};
use drdiff_files::without_mark;
use tokenizers::{Tokenizer, TruncationParams};

use super::{FeatureError, Features};

/// Tokens that are read of a text, the first and last mark among them: as many as the model was made for. One row a text
/// keeps texts independent of each other, which rows of several windows of one text would not be.
pub const READ: usize = 256;

/// all-MiniLM-L6-v2 on a CPU.
pub struct MiniLm {
    hash: String,
    network: BertModel,
    tokenizer: Tokenizer,
}

impl MiniLm {
    /// Reads `config.json`, `tokenizer.json` and `model.safetensors` from a folder.
    ///
    /// # Errors
    /// If a file cannot be read or is no such model.
    pub fn open(folder: &Path) -> Result<Self, FeatureError> {
        let mut hasher = blake3::Hasher::new();
        let mut read = |name: &str| {
            let path = folder.join(name);
            let bytes = fs::read(&path).map_err(|source| FeatureError::File { path, source })?;
            hasher.update(&bytes);
            Ok::<_, FeatureError>(bytes)
        };
        let (config, words, weights) = (
            read("config.json")?,
            read("tokenizer.json")?,
            read("model.safetensors")?,
        );
        let wrong = |reason: String| FeatureError::Model {
            folder: folder.to_owned(),
            reason,
        };
        let config: Config =
            serde_json::from_slice(without_mark(&config)).map_err(|e| wrong(format!("config.json: {e}")))?;
        let mut tokenizer =
            Tokenizer::from_bytes(without_mark(&words)).map_err(|e| wrong(format!("tokenizer.json: {e}")))?;
        if tokenizer.get_vocab_size(true) > config.vocab_size || config.max_position_embeddings < READ {
            return Err(wrong("its vocabulary or its context does not fit".to_owned()));
        }
        // The file pads and cuts to a length of its own.
        let cut = TruncationParams {
            max_length: READ,
            ..TruncationParams::default()
        };
        tokenizer.with_padding(None);
        tokenizer.with_truncation(Some(cut)).map_err(|e| wrong(e.to_string()))?;
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return Err(wrong("its heads cannot share its width".to_owned()));
        }
        let weights = VarBuilder::from_buffered_safetensors(weights, DTYPE, &Device::Cpu);
        let network = weights.and_then(|weights| BertModel::load(weights, &config));
        Ok(Self {
            network: network.map_err(|e| wrong(crate::judge::first_line(&e)))?,
            hash: hasher.finalize().to_hex().to_string(),
            tokenizer,
        })
    }

    /// Mean of the last states over all tokens, divided by its length.
    fn row(&self, ids: &[u32]) -> TensorResult<Vec<f32>> {
        let ids = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        let states = self.network.forward(&ids, &ids.zeros_like()?, None)?;
        let mean = states.squeeze(0)?.mean(0)?;
        let length = mean.sqr()?.sum_all()?.sqrt()?;
        mean.broadcast_div(&length)?.to_vec1()
    }
}

impl Features for MiniLm {
    fn name(&self) -> &str {
        "all-MiniLM-L6-v2"
    }

    fn hash(&self) -> &str {
        &self.hash
    }

    /// 384 numbers, of which the squares sum to 1. Of a text, the first [`READ`] tokens count.
    fn embed(&self, text: &str) -> Result<Vec<f32>, FeatureError> {
        let failed = |reason: String| FeatureError::Text {
            name: self.name().to_owned(),
            reason,
        };
        let encoding = self.tokenizer.encode(text, true).map_err(|e| failed(e.to_string()))?;
        self.row(encoding.get_ids())
            .map_err(|e| failed(crate::judge::first_line(&e)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_model_is_refused_in_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let told = || MiniLm::open(dir.path()).err().unwrap().to_string();
        assert!(
            told().contains("config.json") && told().contains("name a folder"),
            "{}",
            told()
        );
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            fs::write(dir.path().join(name), b"{}").unwrap();
        }
        assert!(told().contains("cannot make features (config.json"), "{}", told());
    }
}
