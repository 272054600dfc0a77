use drdiff_noise::{Noise, Purpose};

use super::coefficients::{SolverConfig, coefficients};
use super::history::History;
use crate::error::{Result, require_len};

/// One step of a block: where every position goes, and what keys the noise.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// The solver.
    pub solver: SolverConfig,
    /// Half log-SNR that each position goes to, `[positions]`; the newest entry of the history says where it stands.
    /// A position whose target is not above its level stays as it is.
    pub to: &'a [f64],
    /// Length of a latent.
    pub dim: usize,
    /// Highest order to use in this step, for lowering it at the end.
    pub max_order: usize,
    /// The request's noise.
    pub noise: &'a Noise,
    /// Step number, unique within the request and block.
    pub step: u64,
    /// Absolute index of the first position, so that batch mates and earlier blocks cannot change the noise.
    pub first_position: u64,
}

/// Advances latents `z`, `[positions * dim]`, by one step, with predictions from `history` (the newest made at `z`).
///
/// # Errors
/// [`crate::Error::Shape`] when the lengths do not fit.
pub fn step(update: &Update<'_>, history: &History, z: &mut [f64]) -> Result<()> {
    let Update { to, dim, .. } = *update;
    require_len("latents", z.len(), to.len() * dim)?;
    let mut fresh = vec![0.0; dim];
    for (position, latent) in z.chunks_exact_mut(dim).enumerate() {
        let mut levels = [f64::NAN; History::DEPTH];
        for (slot, level) in levels.iter_mut().zip(history.levels(position)) {
            *slot = level;
        }
        let c = coefficients(update.solver, levels[0], to[position], &levels[1..], update.max_order);
        if c.noise > 0.0 {
            update.noise.normal(
                Purpose::Solver,
                update.step,
                update.first_position + position as u64,
                &mut fresh,
            );
        }
        let noise = if c.noise > 0.0 { Some(&fresh) } else { None };
        for (i, value) in latent.iter_mut().enumerate() {
            *value = c.state * *value + noise.map_or(0.0, |n| c.noise * n[i]);
        }
        for (weight, row) in c.data.iter().zip(history.rows(position, dim)) {
            if *weight != 0.0 {
                latent.iter_mut().zip(row).for_each(|(value, x)| *value += weight * x);
            }
        }
    }
    Ok(())
}
