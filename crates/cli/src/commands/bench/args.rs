//! What all benchmarks take, and how their numbers are read.

use anyhow::Result;
use clap::Args;
use drdiff_kernels::DeviceKind;

use super::clock::Clock;
use super::row::Machine;
use crate::args::at_least_one;
use crate::device;

/// Arguments of every benchmark.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// Print one JSON object a line instead of a table
    #[arg(long)]
    pub(super) json: bool,
    /// Where to compute: cpu, cuda or cuda:N
    #[arg(long, value_parser = device::parse, default_value = "cpu")]
    pub(super) device: DeviceKind,
    /// Seed of all random inputs and weights
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// Measurements of which the median is taken
    #[arg(long, value_name = "N", value_parser = at_least_one(), default_value_t = 10)]
    pub(super) runs: usize,
    /// Calls before the first measurement
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(super) warm_up: usize,
    /// CPU threads [default: all]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub(super) threads: Option<usize>,
}

impl Common {
    /// The machine to measure, and the clock for it.
    pub(super) fn open(&self) -> Result<(Machine, Clock)> {
        let machine = Machine {
            device: drdiff_kernels::device(self.device)?,
            name: device::name(self.device),
            threads: self.threads,
        };
        let clock = Clock::new(&machine.device, self.runs, self.warm_up);
        Ok((machine, clock))
    }
}
