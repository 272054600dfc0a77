//! What the system says of memory: whether weights fit into it, asked before they are read, since a process that the system ends for
//! its size says nothing; and how much was held.

use std::fs;
use std::path::Path;

use anyhow::Result;
use candle_core::Device;

use crate::exit::usage;

/// Refuses the weights in `path`, a file or a folder of safetensors, if the files alone are larger than what is left of the memory
/// that `device` computes in. What the system or the device does not say is not checked.
pub(crate) fn require_room(path: &Path, device: &Device) -> Result<()> {
    let needed = size(path);
    match free().filter(|_| device.is_cpu()) {
        Some(free) if needed > free => Err(usage(format!(
            "{} needs more than {} MB of memory and {} MB are left; choose smaller weights or end other programs",
            path.display(),
            needed / 1_000_000,
            free / 1_000_000,
        ))),
        _ => Ok(()),
    }
}

/// Bytes of a file, or of the safetensors in a folder.
fn size(path: &Path) -> u64 {
    let length = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    let Ok(folder) = fs::read_dir(path) else {
        return length(path);
    };
    let files = folder.flatten().map(|entry| entry.path());
    let weights = files.filter(|file| file.extension().is_some_and(|extension| extension == "safetensors"));
    weights.map(|file| length(&file)).sum()
}

/// Bytes that Linux could give to this process: what is available, and no more than its control group may have.
pub(crate) fn free() -> Option<u64> {
    let available = bytes_of("MemAvailable:", &fs::read_to_string("/proc/meminfo").ok()?)?;
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|limit| limit.trim().parse().ok());
    Some(available.min(limit.unwrap_or(u64::MAX)))
}

/// The most memory that was held at one time, in bytes. On a GPU: of the device's pool, since the program began or the
/// count was reset. On a CPU: the process's peak resident set as Linux counts it, which never falls, so what is compared should come
/// in growing order, or each in a process of its own. `None` where the system does not say.
pub(crate) fn peak_bytes(device: &Device) -> Option<u64> {
    if !device.is_cpu() {
        return drdiff_kernels::peak_memory(device).ok().flatten();
    }
    bytes_of("VmHWM:", &fs::read_to_string("/proc/self/status").ok()?)
}

/// What the line `name` of a file in `/proc`, which counts in KiB, says in bytes.
fn bytes_of(name: &str, file: &str) -> Option<u64> {
    let line = file.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn lines_are_read_in_bytes() {
        let available = |file| bytes_of("MemAvailable:", file);
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:    1536 kB\n"), Some(1_572_864));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
        let high_water = |file| bytes_of("VmHWM:", file);
        assert_eq!(
            high_water("Name:\tx\nVmHWM:\t    1536 kB\nVmRSS:\t 1 kB\n"),
            Some(1_572_864)
        );
        assert_eq!(high_water("Name:\tx\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn weights_larger_than_memory_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let weights = fs::File::create(folder.path().join("model.safetensors")).unwrap();
        assert!(require_room(folder.path(), &Device::Cpu).is_ok());
        // A file with a hole takes no room on the disk.
        weights.set_len(1 << 42).unwrap();
        for path in [folder.path(), &folder.path().join("model.safetensors")] {
            let told = require_room(path, &Device::Cpu).unwrap_err().to_string();
            assert!(told.contains("needs more than 4398046 MB of memory"), "{told}");
        }
    }
}
