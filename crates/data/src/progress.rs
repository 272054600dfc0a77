//! What a long preparation tells its caller, who alone may print.

/// The part of the work that is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading the files to draw the paragraphs that the tokenizer learns from.
    Sample,
    /// Learning the merges; takes seconds and reports no progress of its own.
    Tokenizer,
    /// Reading the files again, encoding and writing.
    Encode,
}

/// A step of progress: `done` of `total` bytes of the input files (as stored, so compressed for `.zst`).
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Where in the work this is.
    pub stage: Stage,
    /// Bytes of input files read in this stage.
    pub done: u64,
    /// Bytes of all input files of this stage.
    pub total: u64,
    /// Documents seen in this stage.
    pub documents: u64,
    /// Tokens written so far.
    pub tokens: u64,
}
