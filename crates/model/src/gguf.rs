//! Small weights for CPUs: GGUF with the large matrices in 8.5 to 4.5 bits a number.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use drdiff_gguf::GgufHeader;
use drdiff_kernels::{Loaded, MappedFile, rms_norm};

use crate::{Checkpoint, Error, Head, Metadata, Result, sizes};

pub(crate) const METADATA_KEY: &str = "drdiff.metadata";
/// The name of the table of the vocabulary.
const EMBEDDING: &str = "embedding";
/// Matrices below this many elements stay f32: they weigh nothing.
const SMALL: usize = 16_384;

/// How matrices are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MatrixFormat {
    /// 8 bits and a share of a scale for every 32 numbers.
    #[default]
    Q8_0,
    /// 4 bits and scales for every 32 and every 256 numbers. The embedding table, which logits are most sensitive to,
    /// and matrices whose rows are no multiple of 256 stay `Q8_0`.
    Q4K,
    /// 4 bits and a scale for every 32 numbers: 4.5 bits a number. The embedding table stays `Q8_0`.
    Q4_0,
    /// 4 bits, a scale and a minimum for every 32 numbers: 5 bits a number. The embedding table stays `Q8_0`.
    Q4_1,
    /// 5 bits and a scale for every 32 numbers: 5.5 bits a number, the embedding table too.
    Q5_0,
}

impl MatrixFormat {
    /// The blocks of most matrices.
    fn dtype(self) -> GgmlDType {
        match self {
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q4K => GgmlDType::Q4K,
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Q4_1 => GgmlDType::Q4_1,
            Self::Q5_0 => GgmlDType::Q5_0,
        }
    }

    /// The numbers of a tensor, f32 in its shape, if storing them in this format can make it smaller: it is dense, or
    /// `Q8_0` and the format has fewer bits. None for a tensor that is in few bits already.
    ///
    /// # Errors
    /// If the tensor cannot be read.
    pub fn wider(self, tensor: Loaded) -> Result<Option<Tensor>> {
        Ok(match tensor {
            Loaded::Dense(tensor) => Some(tensor),
            Loaded::Quantized(tensor) => {
                let is_wide = match tensor.dtype() {
                    GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16 => true,
                    GgmlDType::Q8_0 => self != Self::Q8_0,
                    _ => false,
                };
                is_wide.then(|| tensor.dequantize(&Device::Cpu)).transpose()?
            }
        })
    }

    /// The format of one tensor of these dimensions.
    fn of(self, name: &str, dims: &[usize]) -> GgmlDType {
        let [outputs, inputs] = *dims else {
            return GgmlDType::F32;
        };
        let fits = |kind: GgmlDType| outputs * inputs >= SMALL && inputs.is_multiple_of(kind.block_size());
        let asked = self.dtype();
        match name {
            EMBEDDING if self != Self::Q5_0 && fits(GgmlDType::Q8_0) => GgmlDType::Q8_0,
            _ if fits(asked) => asked,
            _ if fits(GgmlDType::Q8_0) => GgmlDType::Q8_0,
            _ => GgmlDType::F32,
        }
    }
}

/// [`save_gguf_as`] with matrices as `Q8_0`.
///
/// # Errors
/// As there.
pub fn save_gguf(path: &Path, metadata: &Metadata, tensors: &[(String, Tensor)]) -> Result<()> {
    save_gguf_as(path, metadata, tensors, MatrixFormat::Q8_0)
}

/// Writes named f32 tensors as GGUF, as [`gguf_bytes`] gives them.
///
/// # Errors
/// If the file cannot be written.
pub fn save_gguf_as(
    path: &Path,
    metadata: &Metadata,
    tensors: &[(String, Tensor)],
    format: MatrixFormat,
) -> Result<()> {
    Ok(drdiff_files::write(path, &gguf_bytes(metadata, tensors, format)?)?)
}

/// Named f32 tensors as the bytes of a GGUF file. The embedding table of a network that reads evidence is stored as unit rows,
/// which is what logits are computed with.
///
/// # Errors
/// If a tensor cannot be read or stored.
pub fn gguf_bytes(metadata: &Metadata, tensors: &[(String, Tensor)], format: MatrixFormat) -> Result<Vec<u8>> {
    let json = serde_json::to_string(metadata).map_err(|e| Error::Config(e.to_string()))?;
    let mut quantized = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let mut tensor = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        if name == EMBEDDING && metadata.config.head == Head::Evidence {
            let root = (metadata.config.embed as f64).sqrt();
            tensor = rms_norm(&tensor, None, metadata.config.norm_eps)?.affine(root.recip(), 0.0)?;
        }
        let kind = format.of(name, tensor.dims());
        quantized.push((name.as_str(), QTensor::quantize(&tensor, kind)?));
    }
    let entries = [
        ("general.architecture", Value::String("drdiff".to_owned())),
        (METADATA_KEY, Value::String(json)),
    ];
    let entries: Vec<_> = entries.iter().map(|(key, value)| (*key, value)).collect();
    let tensors: Vec<_> = quantized.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let mut bytes = Cursor::new(Vec::new());
    gguf_file::write(&mut bytes, &entries, &tensors)?;
    Ok(bytes.into_inner())
}

/// Whether a file is GGUF of this program; only its head is read.
#[must_use]
pub fn is_own_gguf(path: &Path) -> bool {
    let Ok(bytes) = MappedFile::open(path) else {
        return false;
    };
    GgufHeader::read(&bytes).is_ok_and(|header| header.get(METADATA_KEY).is_some())
}

/// Reads GGUF bytes; `path` is for messages only. Tensors come dequantised on a GPU, as they are on a CPU.
///
/// # Errors
/// If the bytes are truncated or not a model of this program, if the sizes that the head names are not those of the tensors,
/// or if a number is not finite.
pub fn read_gguf(bytes: &[u8], path: &Path, device: &Device) -> Result<Checkpoint> {
    let corrupt = |reason: String| Error::Corrupt {
        path: path.to_owned(),
        expected: "GGUF model",
        reason,
    };
    let header = GgufHeader::read(bytes).map_err(corrupt)?;
    let entry = header.get(METADATA_KEY);
    let json = entry.and_then(|value| value.as_text());
    let json = json.ok_or_else(|| corrupt(format!("it has no `{METADATA_KEY}` entry, so it is not a DrDiff model")))?;
    let metadata: Metadata = serde_json::from_str(json).map_err(|e| corrupt(e.to_string()))?;
    sizes::check(&metadata.config, path, &header.shapes().collect())?;
    let mut tensors = BTreeMap::new();
    for (name, _) in header.shapes() {
        let Some(loaded) = header.tensor(name).map_err(corrupt)? else {
            continue;
        };
        let loaded = match loaded {
            Loaded::Quantized(tensor) if device.is_cpu() => Loaded::Quantized(tensor),
            Loaded::Quantized(tensor) => Loaded::Dense(tensor.dequantize(&Device::Cpu)?.to_device(device)?),
            Loaded::Dense(tensor) => Loaded::Dense(tensor.to_device(device)?),
        };
        tensors.insert(name.to_owned(), loaded);
    }
    Ok(Checkpoint { metadata, tensors })
}
