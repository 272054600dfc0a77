//! Patterns: from a shape to a plan, made once for each shape.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use drdiff_kernels::{TilePlan, Visibility};

use crate::{Result, noisy_clean};

/// A rule that turns a length into a plan. Plans are pure values: equal arguments give equal plans.
pub trait Pattern: Send + Sync {
    /// The plan for sequences of `len` text positions in blocks of `block_size`.
    ///
    /// # Errors
    /// If the pattern has no meaning for these numbers.
    fn plan(&self, len: usize, block_size: usize) -> Result<TilePlan>;
}

/// Every position sees every position of its sequence; the block size plays no part.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dense;

impl Pattern for Dense {
    fn plan(&self, len: usize, _block_size: usize) -> Result<TilePlan> {
        Ok(TilePlan::new(&[crate::block_causal(len, len)?])?)
    }
}

/// The training layout `[noisy | clean]`, dense inside what [`noisy_clean`] allows.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoisyClean;

impl Pattern for NoisyClean {
    fn plan(&self, len: usize, block_size: usize) -> Result<TilePlan> {
        let visibility: Visibility = noisy_clean(len, block_size)?;
        Ok(TilePlan::new(&[visibility])?)
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
        let cache = PlanCache::new(NoisyClean);
        let plan = cache.get(128, 32).unwrap();
        assert!(Arc::ptr_eq(&plan, &cache.get(128, 32).unwrap()));
        // noisy: own block (32) + clean before (0, 32, 64, 96); clean: 32, 64, 96, 128; 32 rows each.
        let pairs: u64 = (0..4).map(|b| 32 * (32 + 32 * b) + 32 * (32 * (b + 1))).sum();
        assert_eq!(plan.cost().pairs, pairs);
        assert_eq!(PlanCache::new(Dense).get(100, 1).unwrap().cost().pairs, 10_000);
    }
}
