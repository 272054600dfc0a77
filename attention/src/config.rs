//! Which plan a network attends by.

use std::sync::Arc;

use drdiff_kernels::TILE;
use serde::{Deserialize, Serialize};

use crate::retrieval::{Retrieval, Units};
use crate::tree::CausalRule;
use crate::{Error, LengthAdaptive, Result, tree};

/// The plans there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// Every pair that the layout allows.
    #[default]
    Dense,
    /// Chosen by length: at most a constant number of tiles for each query tile.
    LengthAdaptive,
    /// Siblings of a tree of positions share their weights: time linear in a text that is read whole, and nearly so block
    /// after block.
    Tree,
    /// A band, and chunks that are chosen by what they hold.
    Retrieval,
}

impl PlanKind {
    /// Every kind, in the order in which they are listed to users.
    pub const ALL: [Self; 4] = [Self::Dense, Self::LengthAdaptive, Self::Tree, Self::Retrieval];

    /// The name in configurations and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::LengthAdaptive => "length_adaptive",
            Self::Tree => "tree",
            Self::Retrieval => "retrieval",
        }
    }
}

/// The numbers of the plan `tree`; see [`crate::Tree::new`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TreeConfig {
    /// Positions of a lowest node, then children of the nodes of each level above; the last number serves all further
    /// levels.
    pub branching: Vec<usize>,
    /// Siblings of a lowest node to either side that are read exactly. Block after block: so many lowest nodes before a
    /// query's own, siblings or not, and at least as many as a block reaches back into.
    pub near: usize,
}

impl Default for TreeConfig {
    fn default() -> Self {
        Self {
            branching: vec![TILE],
            near: 0,
        }
    }
}

/// What those layers read that do not attend by the plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// Every pair that the layout allows.
    #[default]
    Dense,
    /// The length-adaptive plan, so that no layer's cost grows faster than the text.
    LengthAdaptive,
}

/// The plan of a network, with the numbers of those plans that have any.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttentionConfig {
    /// The plan.
    pub plan: PlanKind,
    /// Layers that attend by the plan, counted from 0; the others read what `rest` says. Empty for all.
    pub layers: Vec<usize>,
    /// What the other layers read.
    pub rest: Rest,
    /// Neighbours to each side that a short convolution beside the attention of every layer reads, 0 for none.
    pub neighbours: usize,
    /// Numbers of the length-adaptive plan.
    pub length_adaptive: LengthAdaptive,
    /// Numbers of the tree.
    pub tree: TreeConfig,
    /// Numbers of retrieval.
    pub retrieval: Retrieval,
}

impl AttentionConfig {
    /// Checks the numbers, for a network of `layers` layers, and that sequences of `context` positions can be trained on.
    ///
    /// # Errors
    /// Names the first number that is impossible.
    pub fn validate(&self, context: usize, layers: usize) -> Result<()> {
        self.length_adaptive.validate()?;
        tree::check(&self.tree.branching, self.tree.near)?;
        if let Some(&layer) = self.layers.iter().find(|layer| **layer >= layers) {
            return Err(Error::Layer { layer, layers });
        }
        self.check_rest(context, layers)?;
        match self.plan {
            PlanKind::Dense | PlanKind::Tree => Ok(()),
            PlanKind::LengthAdaptive => self.length_adaptive.check_halves(context),
            PlanKind::Retrieval => {
                // A long text is read in pieces with as much around them as the band can carry into them.
                let (neighbours, most) = (self.neighbours, self.retrieval.local);
                if neighbours > most {
                    return Err(Error::Neighbours { neighbours, most });
                }
                self.retrieval.validate(context)
            }
        }
    }

    /// Checks that there are layers for `rest`, and that it differs from the plan.
    fn check_rest(&self, context: usize, layers: usize) -> Result<()> {
        if self.rest == Rest::Dense {
            return Ok(());
        }
        if self.plan == PlanKind::LengthAdaptive {
            return Err(Error::RestIsPlan);
        }
        if self.layers.is_empty() || (0..layers).all(|layer| self.layers.contains(&layer)) {
            return Err(Error::NoRest);
        }
        self.length_adaptive.check_halves(context)
    }

    /// Checks that texts of `len` positions can be trained on in blocks of `block_size`.
    ///
    /// # Errors
    /// If the plan is a tree that cannot be cut into such blocks.
    pub fn check_block(&self, block_size: usize, len: usize) -> Result<()> {
        if self.plan != PlanKind::Tree || block_size == len {
            return Ok(());
        }
        let rule = CausalRule::new(&self.tree, block_size, len)?;
        match rule.levels(len) {
            0 => Ok(()),
            _ => rule.band().check_halves(len),
        }
    }

    /// The plan of all layers, which texts are written by: layers share what a cache keeps.
    ///
    /// # Errors
    /// [`Error::LayersWrite`] if layers differ in what they read.
    pub fn plan_of_all(&self) -> Result<PlanKind> {
        let alike = self.plan == PlanKind::Dense && self.rest == Rest::Dense;
        if self.layers.is_empty() || alike {
            Ok(self.plan)
        } else {
            Err(Error::LayersWrite)
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
        self.units(|local| Units::noisy_clean(len, block_size, local))
    }

    /// The units of a text of `len` positions that is denoised whole, if the plan retrieves.
    ///
    /// # Errors
    /// If the numbers are impossible.
    pub fn whole_units(&self, len: usize) -> Result<Option<Arc<Units>>> {
        self.units(|local| Units::whole(len, local))
    }

    fn units(&self, of: impl Fn(usize) -> Result<Units>) -> Result<Option<Arc<Units>>> {
        let units = |numbers: &Retrieval| Ok(Arc::new(of(numbers.local)?.choosing(numbers.together)));
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
        let config: AttentionConfig =
            serde_json::from_str(r#"{"plan":"tree","layers":[1],"tree":{"near":1}}"#).unwrap();
        let tree = TreeConfig {
            near: 1,
            ..TreeConfig::default()
        };
        assert_eq!((config.plan, &config.tree), (PlanKind::Tree, &tree));
        assert_eq!(config.length_adaptive, LengthAdaptive::default());
    }

    #[test]
    fn more_neighbours_than_the_band_has_are_refused() {
        let mut config: AttentionConfig = serde_json::from_str(r#"{"plan":"retrieval"}"#).unwrap();
        assert_eq!(config.neighbours, 0, "as before there were any");
        config.neighbours = 129;
        assert!(config.validate(256, 4).unwrap_err().to_string().contains("at most 128"));
        config.plan = PlanKind::Dense;
        assert!(config.validate(256, 4).is_ok());
    }

    #[test]
    fn a_rest_needs_layers_of_its_own_and_another_plan() {
        let refusal = |json: &str, context| {
            let config: AttentionConfig = serde_json::from_str(json).unwrap();
            config.validate(context, 3).map_err(|error| error.to_string())
        };
        let tree = r#"{"plan":"tree","layers":[1],"rest":"length_adaptive"}"#;
        assert_eq!(refusal(tree, 4096), Ok(()));
        assert!(refusal(tree, 4000).unwrap_err().contains("multiple of 64"));
        assert!(
            refusal(r#"{"plan":"tree","layers":[1]}"#, 4000).is_ok(),
            "dense as ever"
        );
        for all in ["[]", "[2,0,1]"] {
            let json = format!(r#"{{"plan":"tree","layers":{all},"rest":"length_adaptive"}}"#);
            assert!(refusal(&json, 4096).unwrap_err().contains("no layer is left"));
        }
        let same = r#"{"plan":"length_adaptive","layers":[1],"rest":"length_adaptive"}"#;
        assert!(refusal(same, 4096).unwrap_err().contains("the plan itself"));
    }

    #[test]
    fn layers_that_differ_have_no_plan_of_all() {
        let plan = |json: &str| serde_json::from_str::<AttentionConfig>(json).unwrap().plan_of_all();
        assert_eq!(plan(r#"{"plan":"tree"}"#).unwrap(), PlanKind::Tree);
        assert_eq!(
            plan(r#"{"layers":[1]}"#).unwrap(),
            PlanKind::Dense,
            "as dense as the rest"
        );
        for differ in [
            r#"{"plan":"length_adaptive","layers":[1]}"#,
            r#"{"plan":"retrieval","layers":[1],"rest":"length_adaptive"}"#,
            r#"{"plan":"dense","layers":[1],"rest":"length_adaptive"}"#,
        ] {
            let message = plan(differ).unwrap_err().to_string();
            assert!(
                message.contains("`attention.layers`") && message.contains("such as `dense`"),
                "{message}"
            );
        }
    }

    #[test]
    fn layers_that_are_not_there_are_refused() {
        let config = AttentionConfig {
            layers: vec![0, 3],
            ..AttentionConfig::default()
        };
        assert!(config.validate(64, 4).is_ok());
        assert!(config.validate(64, 3).unwrap_err().to_string().contains("layer 3"));
    }
}
