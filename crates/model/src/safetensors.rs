//! Safetensors read so that no number in the header is trusted, and that nothing is read wrongly.

use std::collections::BTreeSet;
use std::fmt;

use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use safetensors::tensor::TensorInfo;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use drdiff_kernels::all_finite;

/// The bytes that say how long the header is.
const LENGTH: usize = 8;

/// A file of weights in the form of safetensors, with its header read and held against its length.
///
/// What is wrong with a file is told in words that complete "the file cannot be read: …".
pub struct TensorFile<'a> {
    tensors: SafeTensors<'a>,
    header: safetensors::tensor::Metadata,
}

impl<'a> TensorFile<'a> {
    /// Reads the header of the file with these bytes.
    ///
    /// # Errors
    /// If the bytes are cut off or damaged, or if a tensor is named twice, is empty or holds anything but floating-point numbers.
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let (json, data) = cut(bytes).ok_or("it is cut off, or no safetensors file")?;
        let names = Names {
            room: data.len() as u64,
        };
        let read = serde_json::Deserializer::from_slice(json).deserialize_map(names);
        read.map_err(|e| e.to_string())?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        for (name, info) in header.tensors() {
            require_floats(info).map_err(|reason| format!("its tensor `{name}` {reason}"))?;
        }
        Ok(Self {
            tensors: SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?,
            header,
        })
    }

    /// The text in the header with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let texts = self.header.metadata().as_ref();
        texts.and_then(|texts| texts.get(key)).map(String::as_str)
    }

    /// Names and shapes of all tensors, in no order.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors
            .names()
            .into_iter()
            .filter_map(|name| Some((name, self.header.info(name)?.shape.as_slice())))
    }

    /// Reads a tensor, in the type that it has in the file; `None` if there is none of this name.
    ///
    /// # Errors
    /// If a number of it is not finite, or the device cannot hold it.
    pub fn tensor(&self, name: &str, device: &Device) -> Result<Option<Tensor>, String> {
        let Ok(view) = self.tensors.tensor(name) else {
            return Ok(None);
        };
        let failed = |error: candle_core::Error| format!("its tensor `{name}` cannot be read ({error})");
        let tensor = view.load(device).map_err(failed)?;
        if all_finite(&tensor).map_err(failed)? {
            Ok(Some(tensor))
        } else {
            Err(format!("`{name}` holds numbers that are not finite"))
        }
    }
}

/// The header, and the bytes of the tensors behind it.
fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

/// Floats of the widths that the tensor library turns into each other.
fn require_floats(info: &TensorInfo) -> Result<(), String> {
    let dtype = info.dtype;
    match dtype {
        Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F8_E4M3 => {}
        Dtype::BOOL
        | Dtype::U8
        | Dtype::I8
        | Dtype::U16
        | Dtype::I16
        | Dtype::U32
        | Dtype::I32
        | Dtype::U64
        | Dtype::I64 => {
            return Err(format!("holds whole numbers ({dtype}), and weights have fractions"));
        }
        _ => {
            return Err(format!(
                "is of the type {dtype}, which is not read; convert it to F32, F16 or BF16"
            ));
        }
    }
    match info.shape.contains(&0) {
        true => Err(format!("has the impossible shape {:?}", info.shape)),
        false => Ok(()),
    }
}

/// Refuses a header in which a name stands twice, of which readers would take one or the other, or in which a tensor ends behind
/// the file, with which the library counts on before it looks.
struct Names {
    /// Bytes that all tensors have.
    room: u64,
}

/// What is read of a tensor here.
#[derive(Deserialize)]
struct Entry {
    data_offsets: (u64, u64),
}

impl<'de> Visitor<'de> for Names {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a header that names tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
            } else if map.next_value::<Entry>()?.data_offsets.1 > self.room {
                return Err(A::Error::custom(format_args!(
                    "its tensor `{name}` ends behind the end of the file"
                )));
            }
            if names.contains(&name) {
                return Err(A::Error::custom(format_args!("its header has `{name}` twice")));
            }
            names.insert(name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    /// A file with this header and so many bytes behind it.
    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn told(header: &str, data: usize) -> String {
        TensorFile::read(&file(header, data)).err().unwrap_or_default()
    }

    #[test]
    fn floats_of_any_width_are_read_and_nothing_else() {
        for (dtype, width) in [("F64", 8), ("F32", 4), ("F16", 2), ("BF16", 2), ("F8_E4M3", 1)] {
            let header = format!(
                r#"{{"x":{{"dtype":"{dtype}","shape":[3],"data_offsets":[0,{}]}}}}"#,
                3 * width
            );
            let bytes = file(&header, 3 * width);
            let tensor = TensorFile::read(&bytes)
                .unwrap()
                .tensor("x", &Device::Cpu)
                .unwrap()
                .unwrap();
            assert_eq!(
                tensor
                    .to_dtype(candle_core::DType::F32)
                    .unwrap()
                    .to_vec1::<f32>()
                    .unwrap(),
                [0.0; 3]
            );
        }
        for (dtype, width) in [("I32", 4), ("U8", 1), ("BOOL", 1), ("F8_E5M2", 1)] {
            let header = format!(
                r#"{{"x":{{"dtype":"{dtype}","shape":[3],"data_offsets":[0,{}]}}}}"#,
                3 * width
            );
            let told = told(&header, 3 * width);
            assert!(told.contains("`x`") && told.contains(dtype), "{told}");
        }
    }

    #[test]
    fn headers_that_promise_too_much_are_refused() {
        let entry = |name: &str, shape: &str, from: u64, to: u64| {
            format!(r#""{name}":{{"dtype":"F32","shape":[{shape}],"data_offsets":[{from},{to}]}}"#)
        };
        let told = |entries: &[String], data| told(&format!("{{{}}}", entries.join(",")), data);
        assert_eq!(told(&[entry("x", "2", 0, 8)], 8), "");
        assert!(told(&[entry("x", "2", 0, 8), entry("x", "2", 0, 8)], 8).contains("twice"));
        assert!(told(&[entry("x", "0", 0, 0)], 0).contains("shape [0]"));
        assert!(told(&[entry("x", "4", 0, 16)], 8).contains("behind the end"));
        assert!(
            !told(&[entry("x", "2", 0, 8), entry("y", "2", 4, 12)], 12).is_empty(),
            "an overlap"
        );
        assert!(
            !told(&[entry("x", "4294967296,4294967296", 0, 8)], 8).is_empty(),
            "an overflow"
        );
        // Eight tensors of 2^61 bytes each end at the last number that there is.
        let step = 1_u64 << 61;
        let many: Vec<_> = (0..8)
            .map(|i| {
                entry(
                    &i.to_string(),
                    &(step / 4).to_string(),
                    i * step,
                    (i + 1).saturating_mul(step),
                )
            })
            .collect();
        assert!(told(&many, 8).contains("behind the end"));
        for bytes in [&b""[..], b"1234567", b"\xff\xff\xff\xff\xff\xff\xff\xff{}"] {
            assert!(TensorFile::read(bytes).is_err());
        }
    }
}
