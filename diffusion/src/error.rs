//! What can go wrong in this crate.

/// Every message names the offending value and what would be accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
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
    /// All shares of the level mixture are zero.
    #[error("every share of the level mixture is 0; give at least one of absorbing, gaussian, independent, joint")]
    EmptyMixture,
    /// A signal-to-noise ratio that is negative or not a number.
    #[error("{0} is not a signal-to-noise ratio; it must be 0, positive or infinite")]
    NotALevel(f32),
    /// A count that must be at least one is zero.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// Masked positions outside of the block that they belong to.
    #[error("{masked} masked positions do not fit a block of {block_size}")]
    MaskedCount {
        /// Masked positions given.
        masked: usize,
        /// Positions in the block.
        block_size: usize,
    },
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
