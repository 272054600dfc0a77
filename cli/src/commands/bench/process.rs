//! What the system says of this process: memory, and time on the CPU.

use std::fs;

use candle_core::Device;

use crate::memory::bytes_of;

/// The most memory that was held at one time, in bytes. On a GPU: of the device's pool, since the count was reset. On a
/// CPU: the process's peak resident set as Linux counts it, which never falls, so rows should come in growing order, or
/// one a process. `None` where the system does not say.
pub(super) fn peak_bytes(device: &Device) -> Option<u64> {
    if !device.is_cpu() {
        return drdiff_kernels::peak_memory(device).ok().flatten();
    }
    bytes_of("VmHWM:", &fs::read_to_string("/proc/self/status").ok()?)
}

/// Milliseconds that all threads of this process have spent on a CPU. `None` where there is no `/proc`.
pub(super) fn cpu_ms() -> Option<f64> {
    let threads = fs::read_dir("/proc/self/task").ok()?.flatten();
    // A thread may end while its folder is read.
    let nanoseconds = threads.filter_map(|thread| on_cpu(&fs::read_to_string(thread.path().join("schedstat")).ok()?));
    Some(nanoseconds.sum::<u64>() as f64 / 1e6)
}

/// Nanoseconds on a CPU: the first of the three numbers of `schedstat`.
fn on_cpu(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_on_the_cpu_is_the_first_number() {
        assert_eq!(on_cpu("1234 56 7\n"), Some(1234));
        assert_eq!(on_cpu(""), None);
    }
}
