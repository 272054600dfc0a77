//! The network, its files and its tokenizer.
//!
//! One pre-norm transformer serves every process of `drdiff-diffusion`: it reads evidence about each position and
//! answers with more evidence, so logits are `<y + g, e(x)> + b(x)` and no noise clock is needed.

mod batch;
mod block;
mod bound;
mod checkpoint;
mod config;
mod cost;
mod denoise;
mod ends;
mod error;
mod form;
mod gguf;
mod head;
mod import;
mod input;
mod load;
mod long_text;
mod network;
mod next_token;
mod noise_embedding;
mod noised;
mod objective;
mod plain;
mod pool;
mod pretrained;
mod retrieval;
mod rope_scaling;
mod safetensors;
mod sizes;
mod tables;

pub use batch::{BlockRow, LastRow, TokenBatch, TokenSegment, Visible};
pub use bound::{BlockBound, Bounds, Difficulty, Frequency, Layouts, PartBound, Spent, likelihood};
pub use checkpoint::{Checkpoint, Metadata, load_checkpoint, read_checkpoint, save_checkpoint};
pub use config::{Head, Mask, ModelConfig};
pub use cost::Rows;
pub use denoise::{CacheSizes, Capabilities, DenoisingNetwork, NetworkOutput, NetworkSpec};
pub use error::{Error, Result};
pub use form::{Form, Local};
pub use gguf::{MatrixFormat, gguf_bytes, is_own_gguf, read_gguf, save_gguf, save_gguf_as};
pub use head::{WEIGHTS, head_of, read_head};
pub use import::{Imported, Precision, import_folder, import_gguf};
pub use input::{Input, LastPrediction, Soft};
pub use load::{Loading, build, build_network, build_scorer, require_fit};
pub use long_text::{LongText, Predicted};
pub use network::{Hidden, Network};
pub use next_token::next_token_nats;
pub use noised::{NoisedBatch, NoisedInput};
pub use objective::{Layout, Loss, TrainableNetwork};
pub use pool::CachePool;
pub use pretrained::Pretrained;
pub use rope_scaling::RopeScaling;
pub use safetensors::TensorFile;
pub use tables::Tables;
