//! What a weights file says about itself, without its tensors.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use candle_core::quantized::gguf_file::Content;
use serde::Deserialize;

use crate::Metadata;
use crate::checkpoint::METADATA_KEY;
use crate::gguf;

/// Bytes of a header at most, as the safetensors format has it.
const MOST: u64 = 100_000_000;

/// Reads the description in the head of a weights file of this program; `None` if it is no such file.
#[must_use]
pub fn read_head(path: &Path) -> Option<Metadata> {
    let mut file = BufReader::new(File::open(path).ok()?);
    let mut magic = [0; 4];
    file.read_exact(&mut magic).ok()?;
    file.rewind().ok()?;
    match &magic {
        b"GGUF" => {
            let content = Content::read(&mut file).ok()?;
            let json = content.metadata.get(gguf::METADATA_KEY)?.to_string().ok()?;
            serde_json::from_str(json).ok()
        }
        _ => safetensors(file),
    }
}

fn safetensors(mut file: impl Read) -> Option<Metadata> {
    #[derive(Deserialize)]
    struct Header {
        __metadata__: HashMap<String, String>,
    }
    let mut size = [0; 8];
    file.read_exact(&mut size).ok()?;
    let size = u64::from_le_bytes(size);
    let mut header = Vec::new();
    file.take(size.min(MOST)).read_to_end(&mut header).ok()?;
    let header: Header = serde_json::from_slice(&header).ok()?;
    serde_json::from_str(header.__metadata__.get(METADATA_KEY)?).ok()
}
