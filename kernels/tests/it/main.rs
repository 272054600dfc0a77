//! The fast forms against their f64 twins, and the properties of plans and noise.

#![allow(
    clippy::unwrap_used,
    reason = "a test may be blunt, and so may what it shares with others"
)]

mod attention;
mod categorical;
mod cross_entropy;
mod divergence;
mod embedding;
mod fill_runs;
mod merge;
mod modulated;
mod muon;
mod optim;
mod params;
mod plan;
mod queries;
mod rows;
mod seats;
mod strongest;
mod tape;
mod tiles;
