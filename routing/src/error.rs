//! What can go wrong while routing.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting of the routing makes no sense.
    #[error("{0}")]
    Config(String),
    /// Rows and counts of a grouped product do not fit.
    #[error("{lists} counts that sum to {sum} for {experts} experts and {rows} rows; give one count for each expert")]
    Counts {
        /// Sum of the counts.
        sum: usize,
        /// Rows of the product.
        rows: usize,
        /// How many counts there are.
        lists: usize,
        /// How many experts there are.
        experts: usize,
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
