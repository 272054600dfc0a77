//! Questions in texts that are read whole, to both sides.

use std::ops::{ControlFlow, Range};

use candle_core::D;
use drdiff_attention::retrieval::CHUNK;
use drdiff_attention::{Pattern, Whole};
use drdiff_data::Tokenizer;
use drdiff_model::{CachePool, DenoisingNetwork, Error, LongText, Network, Predicted, TokenBatch};

use super::hidden::{Haystack, Hidden};
use super::{RecallError, Recalled, Side};

/// What is asked of texts of one length.
#[derive(Debug, Clone)]
pub struct WholeTask {
    /// Bytes of a text.
    pub length: usize,
    /// Places of the number, evenly spaced from the beginning of the text to its end.
    pub depths: usize,
    /// Prompts for each place and side.
    pub samples: usize,
    /// Numbers that a text says; all but the first anywhere.
    pub needles: usize,
    /// How many of them are asked for, at most all.
    pub asked: usize,
    /// Keys between the one that is asked for and the one whose number is said, each of which stands for another: the
    /// variable tracking of RULER. They may be said anywhere.
    pub hops: usize,
    /// Texts that the prompts are written into. Only what a prompt changes is read anew, where the network retrieves.
    pub haystacks: usize,
    /// Positions that are read at a time, where the network retrieves.
    pub piece: usize,
    /// Decides texts and prompts.
    pub seed: u64,
}

/// Asks all questions of `task`, with the number to the left and to the right; a row for each side and place. The answers
/// are gaps of the text, filled at once with the likeliest tokens. `None` if `proceed` breaks off before a prompt.
///
/// A network that retrieves reads the text piece by piece ([`LongText`]), any other in one pass.
///
/// # Errors
/// If a prompt cannot be made or read.
pub fn recall_whole(
    network: &Network,
    tokenizer: &Tokenizer,
    task: &WholeTask,
    proceed: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Option<Vec<Recalled>>, RecallError> {
    let depth = |place: usize| place as f64 / (task.depths - 1).max(1) as f64;
    let mut rows: Vec<Recalled> = [Side::Left, Side::Right]
        .into_iter()
        .flat_map(|side| (0..task.depths).map(move |place| Recalled::none(task.length, depth(place), side)))
        .collect();
    let mut reader = Reader::new(network, task)?;
    let haystacks = task.haystacks.clamp(1, task.samples);
    for number in 0..haystacks {
        let mut haystack = Haystack::new(tokenizer, task.seed, number as u64, task.length)?;
        reader.read(haystack.text(), std::iter::once(0..task.length))?;
        for (row, found) in rows.iter_mut().enumerate() {
            for sample in (number..task.samples).step_by(haystacks) {
                if proceed().is_break() {
                    return Ok(None);
                }
                let index = (row * task.samples + sample) as u64;
                let hidden = haystack.hide(tokenizer, task, index, (found.side, found.depth))?;
                reader.read(haystack.text(), hidden.changed.iter().cloned())?;
                ask(&mut reader, haystack.text(), &hidden, found)?;
                haystack.restore(&hidden);
                reader.read(haystack.text(), hidden.changed.iter().cloned())?;
            }
        }
    }
    Ok(Some(rows))
}

/// Asks the questions of a prompt.
fn ask(reader: &mut Reader<'_>, text: &[u32], hidden: &Hidden, found: &mut Recalled) -> Result<(), RecallError> {
    let (Some((_, first, _)), Some((_, last, _))) = (hidden.questions.first(), hidden.questions.last()) else {
        return Ok(());
    };
    let asked = first.start..last.end;
    let Predicted { logits, retrieved } = reader.predict(text, asked.clone())?;
    let likeliest = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
    for (said, answer, ids) in &hidden.questions {
        let written = &likeliest[answer.start - asked.start..answer.end - asked.start];
        let chunks: Vec<usize> = (said.start / CHUNK..said.end.div_ceil(CHUNK)).collect();
        let same = written.iter().zip(ids).map(|(a, b)| a == b);
        found.count(same, &chunks, &retrieved, reader.far(&asked, said));
    }
    Ok(())
}

/// How a network reads a text that differs from the last one in places.
enum Reader<'n> {
    /// It keeps what can be retrieved.
    Pieces { text: Box<LongText<'n>>, local: usize },
    /// Everything at once.
    Whole { network: &'n Network },
}

impl<'n> Reader<'n> {
    fn new(network: &'n Network, task: &WholeTask) -> Result<Self, RecallError> {
        Ok(match network.config().attention.retrieves() {
            Some(numbers) => Self::Pieces {
                text: Box::new(LongText::new(network, task.length, task.piece)?),
                local: numbers.local,
            },
            None => Self::Whole { network },
        })
    }

    fn read(&mut self, text: &[u32], changed: impl Iterator<Item = Range<usize>>) -> Result<(), RecallError> {
        if let Self::Pieces { text: pieces, .. } = self {
            for changed in changed {
                pieces.read(text, changed)?;
            }
        }
        Ok(())
    }

    fn predict(&mut self, text: &[u32], positions: Range<usize>) -> Result<Predicted, RecallError> {
        match self {
            Self::Pieces { text: pieces, .. } => Ok(pieces.predict(text, positions)?),
            Self::Whole { network } => whole(network, text, positions),
        }
    }

    /// Whether everything that is `said` lies behind the band of all positions `asked`.
    fn far(&self, asked: &Range<usize>, said: &Range<usize>) -> bool {
        let Self::Pieces { local, .. } = self else { return false };
        let reach = local / CHUNK;
        let (first, last) = (asked.start / CHUNK, (asked.end - 1) / CHUNK);
        (said.end - 1) / CHUNK + reach < first || last + reach < said.start / CHUNK
    }
}

/// What a network that does not retrieve predicts in one pass through the whole text.
fn whole(network: &Network, text: &[u32], positions: Range<usize>) -> Result<Predicted, RecallError> {
    let attention = network.config().attention.clone();
    let plan = Whole { attention }.plan(text.len(), text.len())?;
    let batch = TokenBatch::text(network.spec(), text, plan.into(), positions);
    let unasked = || Error::Config("no position of the text is asked for".to_owned());
    let output = network.forward(&batch, &mut [], &mut CachePool::default(), &mut Default::default())?;
    Ok(Predicted {
        logits: output.ok_or_else(unasked)?.logits,
        retrieved: Vec::new(),
    })
}
