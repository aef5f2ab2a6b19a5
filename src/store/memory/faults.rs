//! Faults on demand. Costs two atomic operations per call while none is asked for.

use std::collections::BTreeMap;
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

/// How a write that a fault strikes goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteFault {
    /// It stops half way with an error.
    Fails,
    /// It takes fewer bytes than it was given, and says so.
    Short,
}

/// How a read that a fault strikes goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFault {
    /// One bit is not what it should be; this time only.
    FlippedBit,
    /// A sector is that of the sector before it; this time only.
    StaleSector,
}

/// Faults that struck, by kind.
pub type Struck = BTreeMap<&'static str, u64>;

#[derive(Debug, Default)]
pub(super) struct Faults {
    armed: AtomicBool,
    operations: AtomicU64,
    plan: Mutex<Plan>,
    struck: Mutex<Struck>,
}

#[derive(Debug, Default)]
struct Plan {
    sync: Option<(u64, Times)>,
    write: Option<(u64, WriteFault)>,
    read: Option<(u64, ReadFault)>,
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

    pub(super) fn fail_write(&self, nth: u64, fault: WriteFault) {
        self.arm(|plan| plan.write = Some((nth, fault)));
    }

    pub(super) fn fail_read(&self, nth: u64, fault: ReadFault) {
        self.arm(|plan| plan.read = Some((nth, fault)));
    }

    /// Counts faults that struck.
    pub(super) fn strike(&self, kind: &'static str, times: u64) {
        if times > 0 {
            *self.struck.lock().entry(kind).or_default() += times;
        }
    }

    pub(super) fn take_struck(&self) -> Struck {
        std::mem::take(&mut *self.struck.lock())
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
            return Err(stopped());
        }
        Ok(())
    }

    /// Counts a changing operation.
    pub(super) fn change(&self) -> io::Result<()> {
        if self.armed.load(Ordering::Relaxed)
            && let Some(left) = self.plan.lock().stop.as_mut()
        {
            // Under one lock: of two threads that come together to the last operation, one has it.
            *left = left.checked_sub(1).ok_or_else(stopped)?;
        }
        self.operations.fetch_add(1, Ordering::Relaxed);
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
                self.strike(if times == Times::Once { "disk: failed sync" } else { "disk: failed sync, for ever" }, 1);
                Err(io::Error::other("injected: sync failed"))
            }
            Some((nth, times)) => {
                plan.sync = Some((nth - 1, times));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// How much of a write of `len` bytes gets through, and what goes wrong with it.
    pub(super) fn write(&self, len: usize) -> (usize, Option<WriteFault>) {
        if !self.armed.load(Ordering::Relaxed) {
            return (len, None);
        }
        let plan = &mut *self.plan.lock();
        match plan.write {
            Some((1, fault)) if len > 1 => {
                plan.write = None;
                self.strike(if fault == WriteFault::Short { "disk: short write" } else { "disk: failed write" }, 1);
                (len / 2, Some(fault))
            }
            Some((nth, fault)) => {
                plan.write = Some((nth.saturating_sub(1).max(1), fault));
                (len, None)
            }
            None => (len, None),
        }
    }

    /// What goes wrong with a read of `len` bytes.
    pub(super) fn read(&self, len: usize) -> Option<ReadFault> {
        if !self.armed.load(Ordering::Relaxed) || len == 0 {
            return None;
        }
        let plan = &mut *self.plan.lock();
        let (nth, fault) = plan.read?;
        if nth > 1 {
            plan.read = Some((nth - 1, fault));
            return None;
        }
        plan.read = None;
        self.strike(
            match fault {
                ReadFault::FlippedBit => "disk: flipped bit in one read",
                ReadFault::StaleSector => "disk: stale sector in one read",
            },
            1,
        );
        Some(fault)
    }
}

fn stopped() -> io::Error {
    io::Error::other("the machine has stopped")
}
