//! A corpus folder in words.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use drdiff_data::{Manifest, Split};

use crate::output::grouped;

/// Whether a folder looks like one that `drdiff data prepare` wrote.
pub(super) fn is_corpus(dir: &Path) -> bool {
    dir.join("manifest.json").is_file()
}

pub(super) fn read(dir: &Path) -> Result<Manifest> {
    Ok(Manifest::read(dir)?)
}

pub(super) fn describe(manifest: &Manifest) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "written by  {}", manifest.program);
    let _ = writeln!(text, "vocabulary  {}", grouped(manifest.tokenizer.vocab_size as u64));
    let _ = writeln!(text, "tokenizer   {}", manifest.tokenizer.blake3);
    for source in &manifest.sources {
        let (documents, bytes) = (grouped(source.documents), grouped(source.stored_bytes));
        let _ = writeln!(
            text,
            "source      {} ({}): {documents} documents, {bytes} bytes",
            source.file,
            source.split.name()
        );
    }
    let _ = writeln!(
        text,
        "\n{:<8}{:<16}{:>12}{:>16}{:>16}",
        "split", "tier", "documents", "tokens", "bytes"
    );
    for split in [Split::Train, Split::Valid] {
        for (tier, shard) in manifest.shards(split) {
            let [documents, tokens, bytes] = [shard.documents, shard.tokens, shard.bytes].map(grouped);
            let _ = writeln!(
                text,
                "{:<8}{tier:<16}{documents:>12}{tokens:>16}{bytes:>16}",
                split.name()
            );
        }
    }
    text
}
