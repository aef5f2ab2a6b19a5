//! Faults on demand. Costs two atomic operations per call while none is asked for.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// How often an injected fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// That one time.
    Once,
    /// That time and every time after it.
    Forever,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    armed: AtomicBool,
    operations: AtomicU64,
    plan: Mutex<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    sync: Option<(u64, Times)>,
    write: Option<u64>,
    capacity: Option<u64>,
    stop: Option<u64>,
}

impl Faults {
    fn arm(&self, ask: impl FnOnce(&mut Plan)) {
        ask(&mut self.plan.lock());
        self.armed.store(true, Ordering::Relaxed);
    }

    pub(super) fn fail_sync(&self, nth: u64, times: Times) {
        self.arm(|plan| plan.sync = Some((nth, times)));
    }

    pub(super) fn fail_write(&self, nth: u64) {
        self.arm(|plan| plan.write = Some(nth));
    }

    pub(super) fn set_capacity(&self, bytes: Option<u64>) {
        self.arm(|plan| plan.capacity = bytes);
    }

    pub(super) fn stop_after(&self, operations: u64) {
        self.arm(|plan| plan.stop = Some(operations));
    }

    pub(super) fn calm(&self) {
        let plan = &mut *self.plan.lock();
        *plan = Plan { capacity: plan.capacity, ..Plan::default() };
    }

    pub(super) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    pub(super) fn capacity(&self) -> Option<u64> {
        if self.armed.load(Ordering::Relaxed) { self.plan.lock().capacity } else { None }
    }

    /// Fails once the machine has stopped.
    pub(super) fn running(&self) -> io::Result<()> {
        if self.armed.load(Ordering::Relaxed) && self.plan.lock().stop == Some(0) {
            return Err(io::Error::other("the machine has stopped"));
        }
        Ok(())
    }

    /// Counts a changing operation.
    pub(super) fn change(&self) -> io::Result<()> {
        self.running()?;
        self.operations.fetch_add(1, Ordering::Relaxed);
        if self.armed.load(Ordering::Relaxed)
            && let Some(left) = self.plan.lock().stop.as_mut()
        {
            *left -= 1;
        }
        Ok(())
    }

    /// The answer of a sync.
    pub(super) fn sync(&self) -> io::Result<()> {
        if !self.armed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let plan = &mut *self.plan.lock();
        match plan.sync {
            Some((1, times)) => {
                if times == Times::Once {
                    plan.sync = None;
                }
                Err(io::Error::other("injected: sync failed"))
            }
            Some((nth, times)) => {
                plan.sync = Some((nth - 1, times));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// How much of a write of `len` bytes gets through.
    pub(super) fn write(&self, len: usize) -> usize {
        if !self.armed.load(Ordering::Relaxed) {
            return len;
        }
        let plan = &mut *self.plan.lock();
        plan.write = plan.write.map(|nth| nth - 1);
        if plan.write == Some(0) {
            plan.write = None;
            return len / 2;
        }
        len
    }
}
