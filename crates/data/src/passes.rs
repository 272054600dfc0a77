//! The two passes over the files: learn a tokenizer, then turn every document into ids.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::error::DataError;
use super::kept::Kept;
use super::manifest::{LeftOut, Manifest, ShardEntry, SourceEntry, Split, TOKENIZER, TokenizerEntry};
use super::prepare::PrepareOptions;
use super::progress::{Progress, Stage};
use super::repeats::repeated_share;
use super::sample::{ParagraphSample, share_of};
use super::source::{Document, Source, Tally};
use super::vocabulary;
use super::writer::ShardWriter;
use crate::{Message, Tokenizer, Words, paragraphs};

/// Documents are encoded together, on all threads, up to this many bytes of text.
const BATCH_BYTES: usize = 16 << 20;
/// The tokenizer learns from at most this much text: enough for the rarest of 8,192 merges to be seen often.
const SAMPLE_BYTES: usize = 96 << 20;

/// Both passes over the files.
pub(super) struct Passes<'a> {
    pub(super) options: &'a PrepareOptions,
    /// What is kept for validation of the training files.
    pub(super) kept: Kept,
    pub(super) progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
}

/// Reads `files` one after the other and counts.
struct Counter {
    stage: Stage,
    before: u64,
    total: u64,
    documents: u64,
    tokens: u64,
}

impl Counter {
    fn new(stage: Stage, files: &[&PathBuf]) -> Result<Self, DataError> {
        let lengths = files
            .iter()
            .map(|path| fs::metadata(path).map(|meta| meta.len()).map_err(DataError::io(path)));
        let total = lengths.sum::<Result<u64, _>>()?;
        Ok(Self {
            stage,
            before: 0,
            total,
            documents: 0,
            tokens: 0,
        })
    }

    fn at(&self, tally: &Tally) -> Progress {
        let done = (self.before + tally.bytes()).min(self.total);
        Progress {
            stage: self.stage,
            done,
            total: self.total,
            documents: self.documents,
            tokens: self.tokens,
        }
    }
}

impl Passes<'_> {
    fn tell(&mut self, progress: Progress) -> Result<(), DataError> {
        match (self.progress)(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(DataError::Interrupted),
        }
    }

    /// First pass: the tokenizer sees training documents only.
    pub(super) fn train_tokenizer(&mut self, files: &[PathBuf], size: usize) -> Result<Tokenizer, DataError> {
        let mut counter = Counter::new(Stage::Sample, &files.iter().collect::<Vec<_>>())?;
        let mut sample = ParagraphSample::new(self.options.seed, SAMPLE_BYTES);
        for path in files {
            let mut source = Source::open(path)?;
            let tally = source.tally();
            while let Some(document) = source.next_document()? {
                counter.documents += 1;
                if !document.cut && !self.kept.holds(self.options.seed, &document) {
                    paragraphs(&document.text).for_each(|paragraph| sample.offer(paragraph));
                }
                self.tell(counter.at(&tally))?;
            }
            counter.before += tally.bytes();
        }
        self.tell(Progress {
            stage: Stage::Tokenizer,
            ..counter.at(&Tally::default())
        })?;
        vocabulary::train(sample.into_paragraphs(), size)
    }

    /// Second pass: every document becomes ids of its shard.
    pub(super) fn encode(
        &mut self,
        train: &[PathBuf],
        valid: &[PathBuf],
        dir: &Path,
        words: &Words,
    ) -> Result<Manifest, DataError> {
        let tokenizer = &words.tokenizer;
        let files: Vec<_> = train
            .iter()
            .map(|path| (Split::Train, path))
            .chain(valid.iter().map(|path| (Split::Valid, path)))
            .collect();
        let mut counter = Counter::new(Stage::Encode, &files.iter().map(|(_, path)| *path).collect::<Vec<_>>())?;
        let mut writers = BTreeMap::new();
        let mut sources = Vec::new();
        let mut left_out = LeftOut::default();
        for (split, path) in files {
            let mut source = Source::open(path)?;
            let tally = source.tally();
            let mut documents = 0;
            loop {
                let batch = next_batch(&mut source)?;
                if batch.is_empty() {
                    break;
                }
                documents += batch.len() as u64;
                counter.documents += batch.len() as u64;
                for encoded in encode_batch(&batch, split, (self.options, &self.kept), words)? {
                    let encoded = match encoded {
                        Fate::Kept(encoded) => encoded,
                        Fate::Empty => {
                            left_out.empty += 1;
                            continue;
                        }
                        Fate::Repeats => {
                            left_out.repeating += 1;
                            continue;
                        }
                        Fate::Cut => {
                            left_out.cut += 1;
                            continue;
                        }
                    };
                    counter.tokens += encoded.ids.len() as u64;
                    writer(&mut writers, dir, path, &encoded, tokenizer)?.push(&encoded.ids, encoded.bytes)?;
                }
                self.tell(counter.at(&tally))?;
            }
            counter.before += tally.bytes();
            sources.push(SourceEntry {
                file: path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                split,
                blake3: tally.hash(),
                stored_bytes: tally.bytes(),
                documents,
            });
        }

        let mut shards: [BTreeMap<String, ShardEntry>; 2] = Default::default();
        for ((split, tier), writer) in writers {
            shards[split as usize].insert(tier, writer.finish()?);
        }
        if shards[Split::Train as usize].is_empty() {
            return Err(DataError::NoTrain);
        }
        let entry = TokenizerEntry {
            file: TOKENIZER.into(),
            blake3: tokenizer.hash().into(),
            vocab_size: tokenizer.vocab_size(),
            special_tokens: tokenizer.specials().clone(),
            end_of_text: tokenizer.end_of_text(),
        };
        Ok(Manifest::new(entry, self.options.clone(), sources, left_out, shards))
    }
}

/// What becomes of a document.
enum Fate {
    Kept(Encoded),
    /// It has no text.
    Empty,
    /// More of it repeats than is wanted.
    Repeats,
    /// A conversation whose last answer has no end.
    Cut,
}

struct Encoded {
    split: Split,
    tier: String,
    ids: Vec<u32>,
    bytes: u64,
}

fn next_batch(source: &mut Source) -> Result<Vec<Document>, DataError> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while bytes < BATCH_BYTES {
        let Some(document) = source.next_document()? else { break };
        bytes += document.text.len();
        batch.push(document);
    }
    Ok(batch)
}

fn writer<'a>(
    writers: &'a mut BTreeMap<(Split, String), ShardWriter>,
    dir: &Path,
    path: &Path,
    encoded: &Encoded,
    tokenizer: &Tokenizer,
) -> Result<&'a mut ShardWriter, DataError> {
    let key = (encoded.split, encoded.tier.clone());
    match writers.entry(key) {
        std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
        std::collections::btree_map::Entry::Vacant(entry) => {
            let tier = &encoded.tier;
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
            if tier.is_empty() || tier.len() > 32 || !tier.chars().all(plain) {
                return Err(DataError::Tier {
                    tier: tier.clone(),
                    path: path.to_owned(),
                });
            }
            let file = dir.join(format!("{}-{tier}.tokens", encoded.split.name()));
            Ok(entry.insert(ShardWriter::create(&file, tokenizer.vocab_size())?))
        }
    }
}

/// Ids of each document that is kept.
fn encode_batch(
    batch: &[Document],
    split: Split,
    (options, kept): (&PrepareOptions, &Kept),
    words: &Words,
) -> Result<Vec<Fate>, DataError> {
    let fate = |document: &Document| {
        if document.text.is_empty() {
            return Ok(Fate::Empty);
        }
        if document.cut {
            return Ok(Fate::Cut);
        }
        let (mut ids, bytes) = match &document.messages {
            Some(messages) => conversation(messages, words)?,
            None => titled(document, options, &words.tokenizer)?,
        };
        if options.repeats.is_some_and(|most| repeated_share(&ids) > most) {
            return Ok(Fate::Repeats);
        }
        ids.push(words.tokenizer.end_of_text());
        Ok(Fate::Kept(Encoded {
            split: match kept.holds(options.seed, document) {
                true => Split::Valid,
                false => split,
            },
            tier: document.tier.clone().unwrap_or_else(|| options.default_tier.clone()),
            ids,
            bytes,
        }))
    };
    batch.par_iter().map(fate).collect()
}

/// Ids of a conversation, and their bytes.
fn conversation(messages: &[Message], words: &Words) -> Result<(Vec<u32>, u64), DataError> {
    let template = words.template.as_ref().ok_or(DataError::NoTemplate)?;
    let ids = template.render(messages, false)?;
    let bytes = ids.iter().map(|id| words.tokenizer.bytes_of(*id).len() as u64).sum();
    Ok((ids, bytes))
}

/// Ids of a text, behind its title where that is shown, and their bytes.
fn titled(document: &Document, options: &PrepareOptions, tokenizer: &Tokenizer) -> Result<(Vec<u32>, u64), DataError> {
    let shown = share_of(options.seed, "title", &document.id) < options.title_probability;
    // A text that opens with its title has it already.
    let title = document
        .title
        .as_ref()
        .filter(|title| shown && !document.text.starts_with(*title));
    let mut ids = match title {
        Some(title) => tokenizer.encode(&format!("{title}\n\n"))?,
        None => Vec::new(),
    };
    ids.extend(tokenizer.encode(&document.text)?);
    let bytes = document.text.len() + title.map_or(0, |title| title.len() + 2);
    Ok((ids, bytes as u64))
}
