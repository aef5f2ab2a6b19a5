//! The log channel through crashes: the file is copied, cut and damaged as a crash would leave it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use super::file::Disk;
use super::{LogChannel, LogFile};
use crate::channel::metrics::DeliveryMetrics;
use crate::channel::testing::{Reports, delivery_id, job, job_with};
use crate::domain::content::Escape;
use crate::domain::effect::DeliveryOutcome;
use crate::domain::journey::program::Channel;

/// A running channel on a file of a directory that vanishes with it.
struct Running {
    channel: LogChannel,
    reports: Arc<Reports>,
    stop: watch::Sender<Option<Instant>>,
}

impl Running {
    fn start(path: &Path, confirmed_offset: u64) -> Self {
        Self::on(LogFile::open(path, confirmed_offset).expect("opens"))
    }

    fn on(file: LogFile) -> Self {
        let (reports, (stop, stopping)) = (Reports::new(), watch::channel(None));
        let metrics = DeliveryMetrics::new(Channel::Log);
        let pause = Duration::from_millis(1);
        let channel = LogChannel::start_with(&Handle::current(), file, reports.sink(), metrics, (pause, stopping));
        Self { channel, reports, stop }
    }

    fn offer(&self, deliveries: impl IntoIterator<Item = u128>) {
        for n in deliveries {
            self.channel.offer(job(n, Channel::Log, None)).expect("room");
        }
    }

    /// Waits until each delivery is reported as sent, once.
    async fn all_sent(&self, deliveries: impl IntoIterator<Item = u128>) {
        for n in deliveries {
            assert_eq!(self.reports.wait(delivery_id(n), 1).await, [DeliveryOutcome::Sent], "{n}");
        }
    }

    async fn stop(self) -> u64 {
        self.stop.send_replace(Some(Instant::now() + Duration::from_secs(20)));
        self.channel.take_task().expect("not yet taken").await.expect("no panic");
        self.channel.confirmed_offset()
    }
}

fn in_new_directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("messages.ndjson");
    (directory, path)
}

/// How often each delivery is in the file; every line is JSON or blank.
fn lines(path: &Path) -> BTreeMap<String, usize> {
    let text = fs::read_to_string(path).expect("text");
    assert!(text.is_empty() || text.ends_with('\n'), "whole lines");
    let mut count = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        *count.entry(line["id"].as_str().expect("id").to_owned()).or_default() += 1;
    }
    count
}

fn once(deliveries: impl IntoIterator<Item = u128>) -> BTreeMap<String, usize> {
    deliveries.into_iter().map(|n| (delivery_id(n).to_string(), 1)).collect()
}

#[tokio::test]
async fn a_line_says_what_was_sent_to_whom() {
    let (_directory, path) = in_new_directory();
    let log = Running::start(&path, 0);
    log.channel.offer(job_with(1, Channel::Log, None, ("Hi\nAnn", "a \"body\"", Escape::None))).expect("room");
    log.all_sent([1]).await;
    let end = log.stop().await;
    let text = fs::read_to_string(&path).expect("text");
    assert_eq!(end, text.len() as u64);
    insta::assert_snapshot!(text, @r#"{"id":"d-0007-00000000000000000000000000000001-0","time":"2023-11-14T22:13:20.123Z","channel":"log","profile":"crm:4711","journey":"journey","version":1,"node":"node","message":"hello","subject":"Hi\nAnn","body":"a \"body\""}"#);
}

/// Power is cut, or the process killed, after any byte: every delivery is in the file once after the restart.
#[tokio::test]
async fn a_file_cut_anywhere_ends_up_with_every_line_once() {
    let (_directory, path) = in_new_directory();
    let log = Running::start(&path, 0);
    log.offer(1..=3);
    log.all_sent(1..=3).await;
    log.stop().await;
    let whole = fs::read(&path).expect("bytes");
    let starts = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let near_line_ends = starts.flat_map(|start| start.saturating_sub(2)..=(start + 2).min(whole.len()));
    for cut in (0..whole.len()).step_by(37).chain(near_line_ends) {
        let copy = path.with_file_name("cut.ndjson");
        fs::write(&copy, &whole[..cut]).expect("written");
        let log = Running::start(&copy, 0);
        log.offer(1..=3);
        log.all_sent(1..=3).await;
        log.stop().await;
        assert_eq!(lines(&copy), once(1..=3), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_line_whose_report_was_lost_is_reported_and_not_written_again() {
    let (_directory, path) = in_new_directory();
    let log = Running::start(&path, 0);
    log.offer([1]);
    log.all_sent([1]).await;
    log.reports.hold();
    log.offer([2, 3]);
    log.all_sent([2, 3]).await;
    let confirmed = log.channel.confirmed_offset();
    drop(log);
    assert_eq!(lines(&path), once(1..=3));

    // Without the engine's word that all rows were offered, no line behind the offset may be forgotten.
    let log = Running::start(&path, confirmed);
    log.offer([4, 3]);
    log.all_sent([4, 3]).await;
    assert_eq!(log.channel.confirmed_offset(), confirmed);
    let stored = log.stop().await;
    let log = Running::start(&path, stored);
    log.offer([2]);
    log.all_sent([2]).await;
    log.channel.recovered_rows_offered();
    log.offer([5]);
    log.all_sent([5]).await;
    log.stop().await;
    assert_eq!(lines(&path), once(1..=5));
}

#[tokio::test]
async fn the_confirmed_offset_follows_durable_reports() {
    let (_directory, path) = in_new_directory();
    let log = Running::start(&path, 0);
    log.reports.hold();
    log.offer([1]);
    log.all_sent([1]).await;
    assert_eq!(log.channel.confirmed_offset(), 0);
    log.reports.release();
    assert_eq!(log.stop().await, fs::metadata(&path).expect("file").len());
}

#[tokio::test]
async fn recovered_lines_are_forgotten_once_every_row_was_offered() {
    let (_directory, path) = in_new_directory();
    let log = Running::start(&path, 0);
    log.offer(1..=3);
    log.all_sent(1..=3).await;
    log.stop().await;
    // Row 2 is all that the outbox still holds; lines 1 and 3 will never be asked for.
    let log = Running::start(&path, 0);
    log.offer([2]);
    log.all_sent([2]).await;
    assert_eq!(log.channel.confirmed_offset(), 0);
    log.channel.recovered_rows_offered();
    while log.channel.confirmed_offset() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(log.stop().await, fs::metadata(&path).expect("file").len());
    assert_eq!(lines(&path), once(1..=3));
}

/// A confirmed offset that does not fit means that someone replaced the file: all of it is read.
#[tokio::test]
async fn an_offset_that_does_not_fit_counts_as_none() {
    let (_directory, path) = in_new_directory();
    let log = Running::start(&path, 0);
    log.offer(1..=2);
    log.all_sent(1..=2).await;
    let end = log.stop().await;
    for offset in [end + 1, end - 1, 5, u64::MAX] {
        let log = Running::start(&path, offset);
        log.offer(1..=2);
        log.all_sent(1..=2).await;
        log.stop().await;
        assert_eq!(lines(&path), once(1..=2), "{offset}");
    }
}

#[tokio::test]
async fn unreadable_lines_are_blanked_and_written_again() {
    let (_directory, path) = in_new_directory();
    let log = Running::start(&path, 0);
    log.offer(1..=3);
    log.all_sent(1..=3).await;
    log.stop().await;
    let mut bytes = fs::read(&path).expect("bytes");
    let second = bytes.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    // Zeros as a lost page leaves them, first with the line's end kept, then across it.
    for zeros in [second..second + 40, second..bytes.len() - 20] {
        bytes[zeros].fill(0);
        fs::write(&path, &bytes).expect("written");
        let log = Running::start(&path, 0);
        log.offer(1..=3);
        log.all_sent(1..=3).await;
        log.stop().await;
        assert_eq!(lines(&path), once(1..=3));
    }
}

#[tokio::test]
async fn a_log_with_a_mark_reads_only_what_is_not_confirmed() {
    let (_directory, path) = in_new_directory();
    let log = Running::on(LogFile::open_with_mark(&path).expect("opens"));
    log.offer(1..=2);
    log.all_sent(1..=2).await;
    let confirmed = log.stop().await;
    let mark = path.with_file_name("messages.ndjson.confirmed");
    assert_eq!(fs::read_to_string(&mark).expect("mark"), format!("{confirmed}\n"));
    let file = LogFile::open_with_mark(&path).expect("opens");
    assert!(file.recovered.is_empty());

    let log = Running::on(file);
    log.reports.hold();
    log.offer([3]);
    log.all_sent([3]).await;
    drop(log);
    for damaged in [None, Some(""), Some("12"), Some("\0\0\0\n"), Some("999999999\n")] {
        if let Some(text) = damaged {
            fs::write(&mark, text).expect("written");
        }
        let file = LogFile::open_with_mark(&path).expect("opens");
        assert_eq!(file.recovered.len(), if damaged.is_none() { 1 } else { 3 }, "{damaged:?}");
    }
}

/// Takes half of the bytes and fails, as a full disk does, a few times.
#[derive(Debug)]
struct FullDisk {
    file: fs::File,
    failures_left: Mutex<u32>,
}

impl Disk for FullDisk {
    fn write_and_sync(&self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        let mut failures_left = self.failures_left.lock();
        if *failures_left > 0 {
            *failures_left -= 1;
            std::os::unix::fs::FileExt::write_all_at(&self.file, &bytes[..bytes.len() / 2], offset)?;
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.file.write_and_sync(bytes, offset)
    }
}

#[tokio::test]
async fn a_full_disk_delays_and_loses_nothing() {
    let (_directory, path) = in_new_directory();
    let mut file = LogFile::open(&path, 0).expect("opens");
    let raw = fs::File::options().write(true).open(&path).expect("opens");
    file.disk = Arc::new(FullDisk { file: raw, failures_left: Mutex::new(5) });
    let log = Running::on(file);
    log.offer(1..=20);
    log.all_sent(1..=20).await;
    log.stop().await;
    assert_eq!(lines(&path), once(1..=20));
}

#[tokio::test]
async fn a_stop_on_a_full_disk_reports_nothing() {
    let (_directory, path) = in_new_directory();
    let mut file = LogFile::open(&path, 0).expect("opens");
    let raw = fs::File::options().write(true).open(&path).expect("opens");
    file.disk = Arc::new(FullDisk { file: raw, failures_left: Mutex::new(u32::MAX) });
    let log = Running::on(file);
    log.offer([1]);
    let reports = Arc::clone(&log.reports);
    log.stop().await;
    assert!(reports.outcomes(delivery_id(1)).is_empty());
    let log = Running::start(&path, 0);
    log.offer([1]);
    log.all_sent([1]).await;
    log.stop().await;
    assert_eq!(lines(&path), once([1]));
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let error = LogFile::open(Path::new("/nowhere/messages.ndjson"), 0).expect_err("no such directory");
    assert!(error.to_string().starts_with("can't use the message log /nowhere/messages.ndjson: "), "{error}");
}
