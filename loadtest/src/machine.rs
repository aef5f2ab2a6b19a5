//! What the system knows of a process and of a disk: CPU, memory, bytes written, time of a sync; and which machine it is.

mod description;

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use tokio::time::Instant;

pub use description::{Machine, describe};

/// Syncs of the probe: enough for a 99th percentile.
const PROBE_SYNCS: u64 = 500;
/// Bytes written before each.
const PROBE_BYTES: usize = 4096;
/// Unit of `/proc/diskstats`, whatever the device's own.
const SECTOR_BYTES: u64 = 512;
/// `statfs` of a file system in memory.
const TMPFS: i64 = 0x0102_1994;

/// Refuses a directory in memory: nothing written there is durable.
pub fn check_disk(directory: &Path) -> anyhow::Result<()> {
    let kind = rustix::fs::statfs(directory)?.f_type;
    ensure!(kind != TMPFS, "{} is in memory, where nothing is durable: give --data DIR on a disk", directory.display());
    Ok(())
}

/// Times of overwriting 4 KiB and `fdatasync`, in nanoseconds, in a file of the directory. Blocks for as long as it takes.
pub fn probe_sync(directory: &Path) -> anyhow::Result<Histogram<u64>> {
    let path = directory.join("probe");
    let file = fs::File::create(&path)?;
    let block = [0x5a; PROBE_BYTES];
    // Written once before: a growing file would sync its size as well.
    file.write_all_at(&vec![0; PROBE_BYTES * PROBE_SYNCS as usize], 0)?;
    file.sync_all()?;
    let mut times = Histogram::new(3)?;
    for place in 0..PROBE_SYNCS {
        let started = Instant::now();
        file.write_all_at(&block, place * PROBE_BYTES as u64)?;
        file.sync_data()?;
        times.record(nanoseconds(started.elapsed()))?;
    }
    fs::remove_file(path)?;
    Ok(times)
}

/// Nanoseconds of a span, which fit for 500 years.
pub fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The machine's clock, milliseconds since 1970.
pub fn wall_clock_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Seconds of CPU, user and system.
    pub cpu_s: f64,
    /// Bytes resident.
    pub rss_bytes: u64,
}

/// Bytes that the device under `directory` has written since the machine started, whoever caused them; none where the
/// system counts none.
///
/// The process' own `write_bytes` is no measure: where files lie in large pages it counts a whole page of a megabyte for
/// each overwrite of a few bytes, of which the device writes only the changed blocks.
pub fn device_written_bytes(directory: &Path) -> anyhow::Result<Option<u64>> {
    let device = fs::metadata(directory)?.dev();
    let place = (rustix::fs::major(device), rustix::fs::minor(device));
    let counts = fs::read_to_string("/proc/diskstats").unwrap_or_default();
    Ok(sectors_written(&counts, place).map(|sectors| sectors * SECTOR_BYTES))
}

/// Columns of a line: major, minor, name, reads, merged, sectors read, ms, writes, merged, sectors written, ….
fn sectors_written(counts: &str, (major, minor): (u32, u32)) -> Option<u64> {
    let (major, minor) = (major.to_string(), minor.to_string());
    let lines = counts.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.into_iter().find(|line| line.starts_with(&[&major, &minor])).and_then(|line| line.get(9)?.parse().ok())
}

impl Usage {
    /// Of a running process.
    pub fn of(id: u32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name, in brackets, may hold spaces: fields count from behind it. utime and stime are the 14th and 15th.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |place: usize| fields.get(place - 3).and_then(|text| text.parse::<u64>().ok());
        let ticks = ticks(14).zip(ticks(15)).map(|(user, system)| user + system).context("reading /proc")?;
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        Ok(Self {
            cpu_s: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
            rss_bytes: figure(&status, "VmRSS:").context("VmRSS")? * 1024,
        })
    }
}

/// The number behind a name.
fn figure(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::of(std::process::id()).expect("read");
        assert!(usage.rss_bytes > 0 && usage.cpu_s >= 0.0);
        assert_eq!(sectors_written(" 7 0 loop0 1 2 3 4 5 6 7 8\n 254 1 vda1 1 2 3 4 5 6 77 8\n", (254, 1)), Some(77));
        assert_eq!(figure("a: 1\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12));
    }
}
