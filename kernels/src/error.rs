//! The one error type of this crate.

/// What can be wrong with the input of an operation, a plan or a device request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Shapes that do not fit together.
    #[error("{op}: {problem}")]
    Shape {
        /// The operation that was asked for.
        op: &'static str,
        /// What does not fit, with the shapes.
        problem: String,
    },
    /// Sequences from which no attention plan can be made.
    #[error("attention plan: {0}")]
    Plan(String),
    /// A GPU was asked for and this build has no CUDA code.
    #[error("this build has no CUDA support; use the CPU, or build with `--features cuda`")]
    NoCudaBuild,
    /// A GPU was asked for and could not be opened.
    #[error("cannot open GPU {ordinal}: {cause}; use the CPU, or check the driver with nvidia-smi")]
    NoGpu {
        /// Which GPU.
        ordinal: usize,
        /// The driver's words.
        cause: String,
    },
    /// A flag that a tape looks at was set.
    #[error("the pass was stopped before its end")]
    Stopped,
    /// An error of the tensor library.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn shape(op: &'static str, problem: impl Into<String>) -> Self {
        Self::Shape {
            op,
            problem: problem.into(),
        }
    }
}
