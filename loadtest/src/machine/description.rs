//! Which machine a run was on, as the system tells it: processor, memory, kernel, file system.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Which machine it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Processor and how many of its cores there are.
    pub processor: String,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Name and release of the kernel.
    pub kernel: String,
    /// Kind of the file system under the data directory, and its device.
    pub file_system: String,
}

impl Machine {
    /// In a line.
    pub fn line(&self) -> String {
        let Self { processor, memory_bytes, kernel, file_system } = self;
        format!("{processor}; {:.0} GiB of memory; {file_system}; {kernel}", *memory_bytes as f64 / (1 << 30) as f64)
    }
}

/// This machine, with the file system of `directory`. What the system does not tell is called unknown.
pub fn describe(directory: &Path) -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    Machine {
        processor: format!("{cores} cores, {}", processor(&read("/proc/cpuinfo"))),
        memory_bytes: super::figure(&read("/proc/meminfo"), "MemTotal:").unwrap_or(0) * 1024,
        kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        file_system: file_system(&read("/proc/mounts"), &directory.canonicalize().unwrap_or_default()),
    }
}

/// Names of the processors, each once.
fn processor(cpuinfo: &str) -> String {
    let names: BTreeSet<&str> = cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':').filter(|(name, _)| name.trim() == "model name"))
        .map(|(_, value)| value.trim())
        .collect();
    if names.is_empty() { "unknown processor".to_owned() } else { names.into_iter().collect::<Vec<_>>().join(" and ") }
}

/// The mount that holds a path: the longest that begins it, the last of equals.
fn file_system(mounts: &str, path: &Path) -> String {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        Some((fields.next()?, Path::new(fields.next()?), fields.next()?))
    });
    let holding = mounts.filter(|(_, at, _)| path.starts_with(at)).max_by_key(|(_, at, _)| at.as_os_str().len());
    holding.map_or("unknown file system".to_owned(), |(device, _, kind)| format!("{kind} on {device}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_described_by_what_the_system_says() {
        assert_eq!(processor("processor : 0\nmodel name\t: X 1\nprocessor : 1\nmodel name\t: X 1\n"), "X 1");
        assert_eq!(processor(""), "unknown processor");
        let mounts = "/dev/a / ext4 rw 0 0\n/dev/b /var xfs rw 0 0\ntmpfs /va tmpfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/var/tmp/x")), "xfs on /dev/b");
        assert_eq!(file_system(mounts, Path::new("/home")), "ext4 on /dev/a");
        assert!(describe(Path::new("/")).memory_bytes > 0);
    }
}
