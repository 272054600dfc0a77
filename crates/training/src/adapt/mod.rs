//! What adapts a language model that writes token by token to diffusion: a loss that keeps what it can do, and its frozen original
//! as a teacher.

mod guided;
mod original;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::range::Range;

pub(crate) use guided::Guided;
pub(crate) use original::Original;

/// How a network whose clean rows predict next tokens is trained; see docs/adapting.md.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptConfig {
    /// Weight of the cross-entropy of next tokens on the clean half beside that of the noisy half, at least 0 (NBDiff,
    /// arXiv 2512.06776).
    pub next_token: f64,
    /// Share of the original's distribution in the targets, in [0, 1]: of next tokens, and of masked positions behind which
    /// nothing of their block is visible. The rest is the token of the text.
    pub teacher: f64,
}

impl Default for AdaptConfig {
    fn default() -> Self {
        Self {
            next_token: 0.5,
            teacher: 0.7,
        }
    }
}

impl AdaptConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        Range::NotNegative.check("adapt.next_token", self.next_token)?;
        Range::Share.check("adapt.teacher", self.teacher)
    }
}
