//! What a plan costs.

use drdiff_kernels::TilePlan;

/// Floating-point operations of exact attention over the allowed pairs of `plan`, one sequence, forward only:
/// two products of `2 * head_dim` operations for each pair and head.
pub fn attention_flops(plan: &TilePlan, heads: usize, head_dim: usize) -> u64 {
    4 * plan.cost().pairs / plan.sequences() as u64 * (heads * head_dim) as u64
}
