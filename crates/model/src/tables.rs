//! The tables that a pass reads.

use drdiff_kernels::{Tape, Value};

use crate::{Error, Result};

/// What depends on parameters alone: made once for each training step, and once for generation.
#[derive(Clone)]
pub struct Tables {
    /// `[vocab, embed]` f32; empty where nothing reads it.
    head: Value,
    /// Input rows of the tokens and, last, of the absorbed state, `[vocab + 1, width]`; none where few rows are read at a time.
    input: Option<Value>,
    tape: Option<Tape>,
}

impl Tables {
    pub(crate) fn new(head: Value, input: Option<Value>, tape: Option<&Tape>) -> Self {
        Self {
            head,
            input,
            tape: tape.cloned(),
        }
    }

    /// Rows whose products with evidence are logits, `[vocab, embed]` f32; unit rows `e(x)` in networks that read evidence.
    pub fn head(&self) -> &Value {
        &self.head
    }

    pub(crate) fn has_input(&self) -> bool {
        self.input.is_some()
    }

    pub(crate) fn input(&self) -> Result<&Value> {
        let none = || Error::Config("this network's table of tokens is read row by row".to_owned());
        self.input.as_ref().ok_or_else(none)
    }

    pub(crate) fn tape(&self) -> Option<&Tape> {
        self.tape.as_ref()
    }

    /// The same numbers for a pass that is not recorded.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            head: Value::constant(self.head.tensor()),
            input: self.input.as_ref().map(|input| Value::constant(input.tensor())),
            tape: None,
        }
    }
}
