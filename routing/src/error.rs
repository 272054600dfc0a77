//! What can go wrong while routing.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting of the routing makes no sense.
    #[error("{0}")]
    Config(String),
    /// Rows and counts of a grouped product do not fit.
    #[error(
        "{experts} counts that sum to {sum} for {rows} rows and a stack {height} high; give one count for each expert"
    )]
    Counts {
        /// Sum of the counts.
        sum: usize,
        /// Rows of the product.
        rows: usize,
        /// How many counts there are.
        experts: usize,
        /// Rows of the stack of the experts' maps.
        height: usize,
    },
    /// A quantised stack of experts stands on a tape.
    #[error("quantised experts cannot be learned through; load the weights that were trained, not their GGUF file")]
    Quantized,
    /// A routed layer does not know the groups of its rows.
    #[error(
        "a routed network got groups for {grouped} of {rows} rows; say for every row of the pass to which block it belongs \
         and whether it is open"
    )]
    Groups {
        /// Rows of the pass.
        rows: usize,
        /// Rows that groups were given for.
        grouped: usize,
    },
    /// An operation of the kernels failed.
    #[error(transparent)]
    Kernels(#[from] drdiff_kernels::Error),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
