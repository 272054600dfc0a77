//! What can go wrong in this crate.

/// Every message names the offending value and what would be accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A name that is not among the known ones.
    #[error("unknown {kind} {name:?}; known: {known}")]
    UnknownName {
        /// What was looked for, such as "solver".
        kind: &'static str,
        /// What was given.
        name: String,
        /// All accepted names.
        known: String,
    },
    /// A number in a configuration lies outside of its range.
    #[error("{name} is {value}; it must be {expected}")]
    OutOfRange {
        /// The configuration key.
        name: &'static str,
        /// What was found.
        value: f64,
        /// The accepted range, in words.
        expected: &'static str,
    },
    /// A solver of one order was asked for another.
    #[error("the solver {solver} is of order {order}; leave the order out, or choose the solver dpm++ or sde")]
    FixedOrder {
        /// The solver.
        solver: &'static str,
        /// The order that it has.
        order: usize,
    },
    /// A slice whose length does not fit the positions of the block.
    #[error("{what} has {found} values where {expected} were expected")]
    Shape {
        /// The slice.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that fits.
        expected: usize,
    },
    /// Logits from which no token can be drawn.
    #[error("the prediction at position {position} holds no finite logit, or a NaN")]
    BadLogits {
        /// Position in the block.
        position: usize,
    },
    /// A step of a block that has none left.
    #[error("this block is finished; it takes no further step")]
    Finished,
    /// A token without a row in the embedding table.
    #[error("token {token} is outside of the embedding table of {vocabulary} rows")]
    UnknownToken {
        /// The token.
        token: u32,
        /// Rows of the table.
        vocabulary: usize,
    },
    /// The noise schedule is not usable.
    #[error(transparent)]
    Diffusion(#[from] drdiff_diffusion::Error),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Accepts `value` when `ok`, and otherwise names it.
pub(crate) fn require(ok: bool, name: &'static str, value: f64, expected: &'static str) -> Result<()> {
    if ok {
        Ok(())
    } else {
        Err(Error::OutOfRange { name, value, expected })
    }
}

/// Accepts a slice of the expected length.
pub(crate) fn require_len(what: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        Ok(())
    } else {
        Err(Error::Shape { what, found, expected })
    }
}
