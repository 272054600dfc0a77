//! What can go wrong while planning or running attention.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A block size of zero, or one that does not divide the work as asked.
    #[error("a block size of {block_size} is impossible for {len} positions; choose one between 1 and {len}")]
    BlockSize {
        /// The block size that was asked for, in positions.
        block_size: usize,
        /// The number of positions to divide.
        len: usize,
    },
    /// The cache has no room for the positions of a pass.
    #[error("the cache holds {capacity} positions and {needed} are needed; use a smaller block")]
    CacheFull {
        /// Positions the cache was made for.
        capacity: usize,
        /// Positions that this pass would need.
        needed: usize,
    },
    /// Memory for keys and values that the system does not give.
    #[error(
        "the system gives no {megabytes} MB of memory for the keys and values of a layer; end other programs, or lower the model's `context` with `--set`"
    )]
    Memory {
        /// Size of what was asked for.
        megabytes: usize,
    },
    /// A plan for another pass than the cache's next one.
    #[error("a pass behind {planned} positions was planned where the cache holds {committed}; plan each pass anew")]
    OtherPass {
        /// Committed positions of the plan.
        planned: usize,
        /// Committed positions of the cache.
        committed: usize,
    },
    /// Numbers that make no length-adaptive plan.
    #[error("the attention plan `length_adaptive` cannot have {0}")]
    LengthAdaptive(String),
    /// Numbers that make no tree.
    #[error("the attention plan `tree` cannot have {0}")]
    Tree(String),
    /// A plan for a layer that the network lacks.
    #[error("`attention.layers` names layer {layer} of a network with {layers} layers; count them from 0")]
    Layer {
        /// The layer.
        layer: usize,
        /// Layers of the network.
        layers: usize,
    },
    /// A rest where every layer attends by the plan.
    #[error(
        "no layer is left for `attention.rest`; name some layers for the plan in `attention.layers`, or take `rest` away"
    )]
    NoRest,
    /// A rest that equals the plan.
    #[error(
        "`attention.rest` is the plan itself; take it and `attention.layers` away, or choose another plan for those layers"
    )]
    RestIsPlan,
    /// Blocks that the tree cannot be cut into.
    #[error(
        "a tree whose lowest nodes have {leaf} positions cannot be cut into blocks of {block_size}; choose blocks of {len}, the whole text, or a first `branching` that is a multiple of 64"
    )]
    TreeBlocks {
        /// Positions of a block.
        block_size: usize,
        /// Positions of the text.
        len: usize,
        /// Positions of a lowest node.
        leaf: usize,
    },
    /// Branches in a cache of tiles or trees.
    #[error("only the plan `dense` reads several noisy blocks in a pass; leave the plan to the model")]
    Branches,
    /// A window that is not made of whole tiles.
    #[error("a window of {0} positions cannot be read; windows are multiples of 64")]
    Window(usize),
    /// A plan of some layers where all share a cache.
    #[error(
        "a plan for some layers only (`attention.layers`) cannot write; ask for one plan for all layers, such as `dense`, or `retrieval` if the model retrieves"
    )]
    LayersWrite,
    /// Numbers with which chunks cannot be retrieved.
    #[error("the attention plan `retrieval` cannot have {0}")]
    Retrieval(String),
    /// A pass without units through a network that retrieves.
    #[error("a network that retrieves chunks needs the units of each pass; plan the pass with `retrieval`")]
    Units,
    /// A pass whose plans know no blocks, through a network that reads neighbours.
    #[error("a network with `attention.neighbours` needs the blocks of the rows of each pass; give them with its plan")]
    Blocks,
    /// More neighbours than the band has.
    #[error("`attention.neighbours` is {neighbours}; give at most {most}, the width of the band")]
    Neighbours {
        /// Neighbours to each side.
        neighbours: usize,
        /// Positions of the band to each side.
        most: usize,
    },
    /// A sparse training layout whose halves would share a tile.
    #[error("a text of {len} positions cannot be trained on with a sparse plan; choose a multiple of 64")]
    Halves {
        /// Text positions of a training sequence.
        len: usize,
    },
    /// A causal context by a plan that reads blocks as a whole.
    #[error("a causal context is read by the plans `dense` and `length_adaptive` alone; choose one of them")]
    CausalContext,
    /// Texts in one call whose memory is not one.
    #[error("texts of several banks cannot be read in one call; make a cohort of each bank's")]
    Cohort,
    /// Segments with caches, or several of them, on a tape or in layers with windows.
    #[error("a pass that learns or reads windows has one segment without a cache; run the segments one after another")]
    Segments,
    /// An operation of the kernels failed.
    #[error(transparent)]
    Kernels(#[from] drdiff_kernels::Error),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
