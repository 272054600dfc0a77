//! Attention to retrieved chunks against its naive twin, and what rows may not see.

#![expect(clippy::unwrap_used, reason = "a test fails with the error that it meets")]

mod acceptance;
mod encoder;
mod layer;
mod naive;
mod ops;
mod units;
