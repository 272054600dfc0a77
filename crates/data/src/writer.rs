//! Writes one shard as its documents arrive.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use drdiff_files::create_new;

use super::error::DataError;
use super::manifest::ShardEntry;
use super::shard::{HEADER, Header};

/// A shard under construction; unusable until [`ShardWriter::finish`] has written its header.
pub(super) struct ShardWriter {
    path: PathBuf,
    file: BufWriter<File>,
    header: Header,
    offsets: Vec<u64>,
    bytes: u64,
}

impl ShardWriter {
    /// Creates the file `path` for ids below `vocabulary`.
    pub(super) fn create(path: &Path, vocabulary: usize) -> Result<Self, DataError> {
        let mut file = BufWriter::with_capacity(1 << 20, create_new(path)?);
        file.write_all(&[0; HEADER]).map_err(DataError::io(path))?;
        let header = Header {
            vocabulary: vocabulary as u32,
            tokens: 0,
            documents: 0,
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            header,
            offsets: vec![0],
            bytes: 0,
        })
    }

    /// Appends one document: its ids (end-of-text included) and how many bytes of text they stand for.
    pub(super) fn push(&mut self, ids: &[u32], bytes: u64) -> Result<(), DataError> {
        let width = self.header.width();
        // The low bytes come first.
        let little: Vec<u8> = ids
            .iter()
            .flat_map(|id| id.to_le_bytes().into_iter().take(width))
            .collect();
        self.file.write_all(&little).map_err(DataError::io(&self.path))?;
        self.header.tokens += ids.len() as u64;
        self.header.documents += 1;
        self.offsets.push(self.header.tokens);
        self.bytes += bytes;
        Ok(())
    }

    /// Writes offsets and header, and returns what the manifest says about the shard.
    pub(super) fn finish(mut self) -> Result<ShardEntry, DataError> {
        let io = DataError::io(&self.path);
        for offset in &self.offsets {
            self.file.write_all(&offset.to_le_bytes()).map_err(&io)?;
        }
        self.file.seek(SeekFrom::Start(0)).map_err(&io)?;
        self.file.write_all(&self.header.to_bytes()).map_err(&io)?;
        let file = self.file.into_inner().map_err(|e| io(e.into_error()))?;
        file.sync_all().map_err(&io)?;
        let mut hasher = blake3::Hasher::new();
        hasher
            .update_reader(File::open(&self.path).map_err(&io)?)
            .map_err(&io)?;
        Ok(ShardEntry {
            file: self
                .path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            blake3: hasher.finalize().to_hex().to_string(),
            documents: self.header.documents,
            tokens: self.header.tokens,
            bytes: self.bytes,
        })
    }
}
