//! Which plan a network attends by.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::retrieval::{Retrieval, Units};
use crate::{LengthAdaptive, Result};

/// The plans there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// Every pair that the layout allows.
    #[default]
    Dense,
    /// Chosen by length: at most a constant number of tiles for each query tile.
    LengthAdaptive,
    /// A band, and chunks that are chosen by what they hold.
    Retrieval,
}

impl PlanKind {
    /// Every kind, in the order in which they are listed to users.
    pub const ALL: [Self; 3] = [Self::Dense, Self::LengthAdaptive, Self::Retrieval];

    /// The name in configurations and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::LengthAdaptive => "length_adaptive",
            Self::Retrieval => "retrieval",
        }
    }
}

/// The plan of a network, with the numbers of those plans that have any.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttentionConfig {
    /// The plan.
    pub plan: PlanKind,
    /// Numbers of the length-adaptive plan.
    pub length_adaptive: LengthAdaptive,
    /// Numbers of retrieval.
    pub retrieval: Retrieval,
}

impl AttentionConfig {
    /// Checks the numbers, and that sequences of `context` positions can be trained on.
    ///
    /// # Errors
    /// Names the first number that is impossible.
    pub fn validate(&self, context: usize) -> Result<()> {
        self.length_adaptive.validate()?;
        match self.plan {
            PlanKind::Dense => Ok(()),
            PlanKind::LengthAdaptive => self.length_adaptive.check_halves(context),
            PlanKind::Retrieval => self.retrieval.validate(context),
        }
    }

    /// The numbers of the plan's tiles, unless it is dense: for retrieval those of its band.
    #[must_use]
    pub fn sparse(&self) -> Option<LengthAdaptive> {
        match self.plan {
            PlanKind::Dense => None,
            PlanKind::LengthAdaptive => Some(self.length_adaptive.clone()),
            PlanKind::Retrieval => Some(self.retrieval.band()),
        }
    }

    /// The numbers of retrieval, if that is the plan.
    #[must_use]
    pub fn retrieves(&self) -> Option<&Retrieval> {
        (self.plan == PlanKind::Retrieval).then_some(&self.retrieval)
    }

    /// The units of the training layout `[noisy | clean]` of `len` text positions, if the plan retrieves.
    ///
    /// # Errors
    /// If the block size or the numbers are impossible.
    pub fn noisy_clean_units(&self, len: usize, block_size: usize) -> Result<Option<Arc<Units>>> {
        let units = |numbers: &Retrieval| Units::noisy_clean(len, block_size, numbers.local).map(Arc::new);
        self.retrieves().map(units).transpose()
    }

    /// The units of a text of `len` positions that is denoised whole, if the plan retrieves.
    ///
    /// # Errors
    /// If the numbers are impossible.
    pub fn whole_units(&self, len: usize) -> Result<Option<Arc<Units>>> {
        let units = |numbers: &Retrieval| Units::whole(len, numbers.local).map(Arc::new);
        self.retrieves().map(units).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_files() {
        for kind in PlanKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        let config: AttentionConfig = serde_json::from_str(r#"{"plan":"length_adaptive"}"#).unwrap();
        assert_eq!(config.sparse(), Some(LengthAdaptive::default()));
        assert!(AttentionConfig::default().sparse().is_none());
    }
}
