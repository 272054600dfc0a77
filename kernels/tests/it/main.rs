//! The fast forms against their f64 twins, and the properties of plans and noise.

mod attention;
mod cross_entropy;
mod embedding;
mod optim;
mod params;
mod plan;
mod rng;
mod rows;
