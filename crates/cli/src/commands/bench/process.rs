//! What the system says of this process: time on the CPU.

use std::fs;

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
