//! Prewrites segments on a thread of its own, so that the lane's writer finds one ready: writing 64 MiB of zeros
//! takes a quarter of a second, a hundred times a group.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::segment::{Slot, create_spare};
use crate::store::disk::Disk;
use crate::store::error::JournalError;

/// A thread that makes one spare segment at a time.
#[derive(Debug)]
pub(super) struct SpareWriter {
    requests: Option<Sender<u64>>,
    answers: Receiver<Result<Slot, JournalError>>,
    asked: usize,
    thread: Option<JoinHandle<()>>,
}

impl SpareWriter {
    pub(super) fn start(disk: Arc<dyn Disk>, lane: u16, bytes: u64) -> Self {
        let (requests, asked_for) = bounded::<u64>(1);
        let (answer, answers) = bounded(1);
        let work = move || {
            for number in asked_for {
                if answer.send(create_spare(&disk, lane, number, bytes)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name(format!("journal-spare-{lane}")).spawn(work);
        // Without the thread the lane prewrites by itself: slower, not wrong.
        let (thread, requests) = thread.map_or((None, None), |thread| (Some(thread), Some(requests)));
        Self { requests, answers, asked: 0, thread }
    }

    /// Asks for a spare with this file number, unless one is asked for already. Whether it did.
    pub(super) fn ask(&mut self, number: u64) -> bool {
        let asked = self.asked == 0 && self.requests.as_ref().is_some_and(|requests| requests.send(number).is_ok());
        self.asked += usize::from(asked);
        asked
    }

    /// The spare that was asked for, waiting until it is written; `None` if none was, or if there was no space then.
    pub(super) fn take(&mut self) -> Option<Result<Slot, JournalError>> {
        if self.asked == 0 {
            return None;
        }
        self.asked = 0;
        match self.answers.recv() {
            Ok(Err(JournalError::DiskFull)) | Err(_) => None,
            Ok(answer) => Some(answer),
        }
    }
}

impl Drop for SpareWriter {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // The thread has no result; if it panicked there is nothing to save either.
            drop(thread.join());
        }
    }
}
