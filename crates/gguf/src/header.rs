//! The head of a GGUF file, read so that no number in it is trusted: everything that it promises must lie in the file.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::quantized::QTensor;
use candle_core::quantized::gguf_file::TensorInfo;
use candle_core::{Device, Shape, Tensor};
use drdiff_kernels::{Loaded, all_finite};

use super::bytes::{Bytes, Result};
use super::format::Format;
use super::metadata::GgufValue;

const MAGIC: &[u8] = b"GGUF";
/// Tensors begin at multiples of so many bytes if the head does not say otherwise.
const ALIGNMENT: u64 = 32;
/// Dimensions that a tensor has at most.
const DIMENSIONS: u32 = 4;

/// The head of a GGUF file, versions 1 to 3, over the file's bytes.
///
/// What is wrong with a file is told in words that complete "the file cannot be read: …".
#[derive(Debug)]
pub struct GgufHeader<'a> {
    metadata: BTreeMap<&'a str, GgufValue<'a>>,
    tensors: BTreeMap<&'a str, GgufTensor>,
    bytes: &'a [u8],
}

/// A tensor of a GGUF file.
#[derive(Debug)]
struct GgufTensor {
    /// As this program counts dimensions: the last one's numbers lie side by side.
    shape: Vec<usize>,
    format: Format,
    /// Where its bytes lie in the file.
    place: Range<usize>,
}

impl<'a> GgufHeader<'a> {
    /// Reads the head of the file with these bytes. Takes no more memory than a few times what the head itself is long.
    ///
    /// # Errors
    /// If it is no GGUF file, is cut off, or promises what it does not hold.
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut head = Bytes::new(bytes, false);
        if head.take(MAGIC.len()).ok() != Some(MAGIC) {
            return Err("it does not begin as GGUF files do".to_owned());
        }
        let version = head.u32()?;
        if !(1..=3).contains(&version) {
            return Err(match version.swap_bytes() {
                1..=3 => "its bytes are in the order of big-endian machines; convert it to little-endian".to_owned(),
                _ => format!("it is of version {version} of GGUF, and versions 1 to 3 are read"),
            });
        }
        let mut head = head.with_lengths(version == 1);
        let length = if version == 1 { 4 } else { 8 };
        let tensors = head.count(length + 16, "tensors")?;
        let entries = head.count(length + 5, "entries")?;
        let mut metadata = BTreeMap::new();
        for _ in 0..entries {
            let key = head.name()?;
            let kind = head.u32()?;
            let value = GgufValue::read(&mut head, kind)?;
            if metadata.insert(key, value).is_some() {
                return Err(format!("its head has `{key}` twice"));
            }
        }
        let infos = (0..tensors)
            .map(|_| Info::read(&mut head))
            .collect::<Result<Vec<_>>>()?;
        let alignment = alignment(metadata.get("general.alignment"))?;
        let start = head.position().checked_next_multiple_of(alignment);
        let start = start.ok_or("the alignment of its tensors is too large")?;
        let mut tensors = BTreeMap::new();
        for info in infos {
            let name = info.name;
            let tensor = info.place(start, alignment, bytes.len());
            let tensor = tensor.map_err(|reason| format!("its tensor `{name}` {reason}"))?;
            if tensors.insert(name, tensor).is_some() {
                return Err(format!("its head has the tensor `{name}` twice"));
            }
        }
        refuse_overlaps(&tensors)?;
        Ok(Self {
            metadata,
            tensors,
            bytes,
        })
    }

    /// All entries by key.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<&'a str, GgufValue<'a>> {
        &self.metadata
    }

    /// The entry with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<GgufValue<'a>> {
        self.metadata.get(key).copied()
    }

    /// Names and shapes of all tensors; the last dimension of a shape is that whose numbers lie side by side.
    pub fn shapes(&self) -> impl Iterator<Item = (&'a str, &[usize])> {
        self.tensors
            .iter()
            .map(|(name, tensor)| (*name, tensor.shape.as_slice()))
    }

    /// Reads a tensor to the CPU, as it lies in the file; `None` if there is none of this name.
    ///
    /// # Errors
    /// If a number of it is not finite, or the tensor library refuses it.
    pub fn tensor(&self, name: &str) -> Result<Option<Loaded>> {
        let Some(GgufTensor { shape, format, place }) = self.tensors.get(name) else {
            return Ok(None);
        };
        let failed = |error: candle_core::Error| format!("its tensor `{name}` cannot be read ({error})");
        let bytes = self.bytes.get(place.clone()).unwrap_or_default();
        let (loaded, finite) = match format {
            Format::Plain(dtype) => {
                let tensor = Tensor::from_raw_buffer(bytes, *dtype, shape, &Device::Cpu).map_err(failed)?;
                let finite = all_finite(&tensor).map_err(failed)?;
                (Loaded::Dense(tensor), finite)
            }
            Format::Blocks(blocks) => {
                let info = TensorInfo {
                    ggml_dtype: blocks.kind,
                    shape: Shape::from(shape.as_slice()),
                    offset: 0,
                };
                let tensor: QTensor = info
                    .read(&mut std::io::Cursor::new(bytes), 0, &Device::Cpu)
                    .map_err(failed)?;
                (Loaded::Quantized(tensor), blocks.are_finite(bytes))
            }
        };
        if finite {
            Ok(Some(loaded))
        } else {
            Err(format!("`{name}` holds numbers that are not finite"))
        }
    }
}

/// What the head says of a tensor.
struct Info<'a> {
    name: &'a str,
    dims: Vec<u64>,
    kind: u32,
    offset: u64,
}

impl<'a> Info<'a> {
    fn read(head: &mut Bytes<'a>) -> Result<Self> {
        let name = head.name()?;
        let rank = head.u32()?;
        if !(1..=DIMENSIONS).contains(&rank) {
            return Err(format!(
                "its tensor `{name}` has {rank} dimensions, and tensors have 1 to {DIMENSIONS}"
            ));
        }
        Ok(Self {
            name,
            dims: (0..rank).map(|_| head.size()).collect::<Result<_>>()?,
            kind: head.u32()?,
            offset: head.u64()?,
        })
    }

    /// Finds the tensor among the bytes of the file, `end` of them, whose tensors begin at `start`.
    fn place(self, start: usize, alignment: usize, end: usize) -> Result<GgufTensor> {
        let format = Format::of(self.kind)?;
        let dims = self
            .dims
            .iter()
            .map(|dim| usize::try_from(*dim).ok().filter(|dim| *dim > 0));
        // In files the numbers along the first dimension lie side by side.
        let shape: Option<Vec<usize>> = dims.rev().collect();
        let shape = shape.ok_or_else(|| format!("has the impossible shape {:?}", self.dims))?;
        let row = shape.last().copied().unwrap_or_default();
        if !row.is_multiple_of(format.block()) {
            return Err(format!("has rows of {row} numbers in blocks of {}", format.block()));
        }
        let numbers = shape.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim));
        let length = numbers.and_then(|numbers| (numbers / format.block()).checked_mul(format.bytes()));
        let offset = usize::try_from(self.offset).ok();
        let first = offset.and_then(|offset| start.checked_add(offset));
        let place = first
            .zip(length)
            .and_then(|(first, length)| Some(first..first.checked_add(length)?))
            .filter(|place| place.end <= end);
        let place = place.ok_or("ends behind the end of the file; it is cut off, or its sizes are wrong")?;
        if !(place.start - start).is_multiple_of(alignment) {
            return Err(format!("does not begin at a multiple of {alignment} bytes"));
        }
        Ok(GgufTensor { shape, format, place })
    }
}

fn alignment(value: Option<&GgufValue<'_>>) -> Result<usize> {
    let bytes = value.map_or(Some(ALIGNMENT), GgufValue::as_u64);
    let power = bytes.filter(|bytes| bytes.is_power_of_two());
    let power = power.and_then(|bytes| usize::try_from(bytes).ok());
    power.ok_or_else(|| "its `general.alignment` is no power of two".to_owned())
}

/// Refuses tensors that share bytes.
fn refuse_overlaps(tensors: &BTreeMap<&str, GgufTensor>) -> Result<()> {
    let mut places: Vec<_> = tensors
        .iter()
        .map(|(name, tensor)| (tensor.place.clone(), name))
        .collect();
    places.sort_by_key(|(place, _)| place.start);
    for pair in places.windows(2) {
        let [(one, name), (other, next)] = pair else { continue };
        if other.start < one.end {
            return Err(format!("its tensors `{name}` and `{next}` overlap"));
        }
    }
    Ok(())
}
