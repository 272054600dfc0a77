//! Patterns: from a shape to a plan, made once for each shape.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use drdiff_kernels::TilePlan;

use crate::{LengthAdaptive, Result, noisy_clean};

/// A rule that turns a length into a plan. Plans are pure values: equal arguments give equal plans.
pub trait Pattern: Send + Sync {
    /// The plan for sequences of `len` text positions in blocks of `block_size`.
    ///
    /// # Errors
    /// If the pattern has no meaning for these numbers.
    fn plan(&self, len: usize, block_size: usize) -> Result<TilePlan>;
}

/// A text whose positions see to both sides; the block size plays no part.
#[derive(Debug, Clone, Default)]
pub struct Whole {
    /// Dense, or by these numbers.
    pub sparse: Option<LengthAdaptive>,
}

impl Pattern for Whole {
    fn plan(&self, len: usize, _block_size: usize) -> Result<TilePlan> {
        match &self.sparse {
            Some(numbers) => numbers.whole(len),
            None => Ok(TilePlan::new(&[crate::block_causal(len, len)?])?),
        }
    }
}

/// The training layout `[noisy | clean]`, with all that [`noisy_clean`] allows or a part of it.
#[derive(Debug, Clone, Default)]
pub struct NoisyClean {
    /// Dense, or by these numbers.
    pub sparse: Option<LengthAdaptive>,
}

impl Pattern for NoisyClean {
    fn plan(&self, len: usize, block_size: usize) -> Result<TilePlan> {
        match &self.sparse {
            Some(numbers) => numbers.noisy_clean(len, block_size),
            None => Ok(TilePlan::new(&[noisy_clean(len, block_size)?])?),
        }
    }
}

/// Plans already made by one pattern, by `(len, block_size)`.
pub struct PlanCache<P> {
    pattern: P,
    plans: Mutex<HashMap<(usize, usize), Arc<TilePlan>>>,
}

impl<P: Pattern> PlanCache<P> {
    /// An empty cache for `pattern`.
    pub fn new(pattern: P) -> Self {
        Self {
            pattern,
            plans: Mutex::default(),
        }
    }

    /// The plan for this shape, made on first use.
    ///
    /// # Errors
    /// As [`Pattern::plan`].
    pub fn get(&self, len: usize, block_size: usize) -> Result<Arc<TilePlan>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&(len, block_size)) {
            return Ok(plan.clone());
        }
        let plan = Arc::new(self.pattern.plan(len, block_size)?);
        plans.insert((len, block_size), plan.clone());
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_made_once_and_counts_its_pairs() {
        let cache = PlanCache::new(NoisyClean::default());
        let plan = cache.get(128, 32).unwrap();
        assert!(Arc::ptr_eq(&plan, &cache.get(128, 32).unwrap()));
        // noisy: own block (32) + clean before (0, 32, 64, 96); clean: 32, 64, 96, 128; 32 rows each.
        let pairs: u64 = (0..4).map(|b| 32 * (32 + 32 * b) + 32 * (32 * (b + 1))).sum();
        assert_eq!(plan.cost().pairs, pairs);
        assert_eq!(
            PlanCache::new(Whole::default()).get(100, 1).unwrap().cost().pairs,
            10_000
        );
    }
}
