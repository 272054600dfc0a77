//! What a step of a block tells its driver.

/// A token at a position of the block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Position in the block.
    pub position: usize,
    /// The token.
    pub token: u32,
    /// Its probability, untempered.
    pub probability: f64,
}

/// What one step did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepReport {
    /// Positions that became anchors, ascending.
    pub committed: Vec<Choice>,
    /// Positions that are open again after the step, ascending.
    pub reabsorbed: Vec<usize>,
    /// The most probable tokens of positions that stay open and were asked for, for showing.
    pub provisional: Vec<Choice>,
    /// Drafts that a check rejected, or that lay behind such a one, at the positions where they would have stood.
    pub rejected: Vec<Choice>,
    /// Whether the block is done.
    pub finished: bool,
}
