//! What can go wrong while routing.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A routing names an expert that the layer does not have.
    #[error(
        "the router chose expert {expert} of a layer with {experts} routed experts; check the router's configuration"
    )]
    UnknownExpert {
        /// The index that was asked for.
        expert: usize,
        /// Routed experts of the layer.
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
