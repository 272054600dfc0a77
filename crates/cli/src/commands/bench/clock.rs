//! Time of one call, in the median.

use std::time::Instant;

use anyhow::Result;
use candle_core::Device;

use super::process;

/// Calls shorter than this are measured several at a time, so that waiting for the device does not count.
const SHORTEST_SAMPLE_MS: f64 = 20.0;
/// Calls in one sample at most.
const LONGEST_BATCH: usize = 50;

/// What one call took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// Milliseconds, the median of all samples.
    pub(super) ms: f64,
    /// Milliseconds on the CPU, of all threads together, the mean of all samples. On a machine that others use too,
    /// this tells more than the time that passed.
    pub(super) cpu_ms: Option<f64>,
    /// Samples.
    pub(super) runs: usize,
}

impl Timing {
    /// A single sample that was taken by hand.
    pub(super) fn once(ms: f64) -> Self {
        Self {
            ms,
            cpu_ms: None,
            runs: 1,
        }
    }
}

/// Measures calls on one device.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    device: Device,
    runs: usize,
    warm_up: usize,
}

impl Clock {
    /// `runs` samples (at least 1) after `warm_up` calls.
    pub(super) fn new(device: &Device, runs: usize, warm_up: usize) -> Self {
        Self {
            device: device.clone(),
            runs,
            warm_up,
        }
    }

    /// Takes all samples. The device is synchronised around each of them.
    ///
    /// # Errors
    /// If a call fails.
    pub(super) fn time(&self, mut call: impl FnMut() -> Result<()>) -> Result<Timing> {
        let mut last = 0.0;
        for _ in 0..self.warm_up {
            last = self.sample(1, &mut call)?;
        }
        // Without a warm-up nothing is known of the call.
        let calls = match last {
            0.0 => 1,
            ms => ((SHORTEST_SAMPLE_MS / ms).ceil() as usize).clamp(1, LONGEST_BATCH),
        };
        let before = process::cpu_ms();
        let samples = (0..self.runs)
            .map(|_| self.sample(calls, &mut call))
            .collect::<Result<_>>()?;
        let all = (self.runs * calls) as f64;
        Ok(Timing {
            ms: median(samples),
            cpu_ms: process::cpu_ms()
                .zip(before)
                .map(|(after, before)| (after - before) / all),
            runs: self.runs,
        })
    }

    fn sample(&self, calls: usize, call: &mut impl FnMut() -> Result<()>) -> Result<f64> {
        self.device.synchronize()?;
        let start = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        self.device.synchronize()?;
        Ok(start.elapsed().as_secs_f64() * 1e3 / calls as f64)
    }
}

/// The middle value, or the mean of the two middle ones; 0 of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_an_outlier() {
        assert_eq!(median(vec![3.0, 1.0, 900.0]), 3.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 900.0]), 3.0);
    }

    #[test]
    fn every_sample_is_taken_after_the_warm_up() {
        let mut calls = 0;
        let clock = Clock::new(&Device::Cpu, 4, 0);
        clock
            .time(|| {
                calls += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(calls, 4);
    }
}
