//! One module for each command: its arguments, and what it does.

pub(crate) mod batch;
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod data;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod fit_grid;
pub(crate) mod generate;
pub(crate) mod inspect;
pub(crate) mod sweep;
pub(crate) mod train;
