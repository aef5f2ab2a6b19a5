//! The archive's own thread: turns seals into files and deletes expired ones. The only place that writes to the disk.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::report::archive::file;
use crate::report::archive::state::{Sealed, Shared};

/// How often the age of open chunks is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Pause before a failed write is tried again; a flush tries at once.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until the feeding side is gone.
pub(super) fn run(shared: &Shared, seals: &Receiver<Arc<Sealed>>) {
    let mut flow = ControlFlow::Continue(());
    while flow.is_continue() {
        match seals.recv_timeout(TICK) {
            Ok(sealed) => flow = write_and_reuse(shared, sealed),
            Err(RecvTimeoutError::Timeout) => flow = write_aged(shared, seals),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Seals and writes what has been open for too long.
fn write_aged(shared: &Shared, seals: &Receiver<Arc<Sealed>>) -> ControlFlow<()> {
    // A feeder that is at work seals by itself when it is time.
    let Some(_feeding) = shared.feeding.try_lock() else { return ControlFlow::Continue(()) };
    let sealed = {
        let mut state = shared.state.lock();
        if state.open_since.is_none_or(|since| since.elapsed() < shared.config.flush_age) {
            return ControlFlow::Continue(());
        }
        state.seal()
    };
    // ORDER: seals sent before this one come first.
    seals.try_iter().chain(sealed).try_for_each(|sealed| write_until_done(shared, &sealed))
}

/// Writes a seal that filled up, and keeps its memory for one that will.
fn write_and_reuse(shared: &Shared, sealed: Arc<Sealed>) -> ControlFlow<()> {
    write_until_done(shared, &sealed)?;
    // A reader that looks at it just now keeps it.
    if let Some(sealed) = Arc::into_inner(sealed) {
        shared.state.lock().reuse(sealed.chunks, shared.config.flush_bytes);
    }
    ControlFlow::Continue(())
}

/// Writes one seal, again and again until it is durable or the archive stops. Each attempt writes a new file from
/// memory, so a failed sync is never trusted afterwards. Breaks off when it could not be written: then nothing that
/// comes later may be, or its watermarks would cover what is missing.
fn write_until_done(shared: &Shared, sealed: &Sealed) -> ControlFlow<()> {
    loop {
        let number = {
            let mut state = shared.state.lock();
            state.next_file_number += 1;
            state.next_file_number - 1
        };
        delete_expired(shared);
        let chunks = sealed.chunks.values().flatten();
        let written = file::write(&shared.config.directory, number, chunks, &sealed.watermarks, sealed.now);
        let mut state = shared.state.lock();
        match written {
            Ok(file) => {
                state.written(sealed, file);
                shared.changed.notify_all();
                return ControlFlow::Continue(());
            }
            Err(error) => {
                tracing::error!(directory = %shared.config.directory.display(), "archive: failed to write: {error}");
                let unfinished = file::path_of(&shared.config.directory, number).with_extension("tmp");
                let _ = fs::remove_file(unfinished);
                state.failure_count += 1;
                state.fault = Some(error.to_string());
                shared.changed.notify_all();
                if !state.is_stopping {
                    shared.changed.wait_for(&mut state, RETRY);
                }
                if state.is_stopping {
                    return ControlFlow::Break(());
                }
            }
        }
    }
}

/// Deletes whole files that are over age or over the bytes.
pub(super) fn delete_expired(shared: &Shared) {
    let expired = shared.state.lock().take_expired(&shared.config);
    for path in expired {
        delete(&path);
    }
}

fn delete(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        // It is out of the list; the next start finds it again.
        tracing::warn!(path = %path.display(), "archive: failed to delete: {error}");
    }
}
