//! The lane's thread and its listeners.

use crossbeam_channel::{Sender, unbounded};

use super::*;
use crate::store::memory::Times;

#[derive(Debug, PartialEq)]
enum Told {
    Durable(Vec<u64>),
    Failed,
}

struct Tell(Sender<Told>);

impl Listener for Tell {
    fn durable(&mut self, blocks: Vec<(Block, Position)>) {
        self.0.send(Told::Durable(blocks.iter().map(|(block, _)| block.number).collect())).expect("the test listens");
    }

    fn failed(&mut self, _: &JournalError) {
        self.0.send(Told::Failed).expect("the test listens");
    }
}

#[test]
fn a_thread_groups_what_queues_and_tells_in_order() {
    let disk = MemoryDisk::tracked();
    let (journal, lane, _) = open(&disk);
    let (tell, told) = unbounded();
    let thread = LaneThread::start(lane, 8, Tell(tell)).expect("starts");
    let appender = thread.appender();
    for number in 0..300 {
        appender.append(block(number, 5000)).expect("runs");
        if number % 16 == 0 {
            pass_until(&journal, number / 2);
        }
    }
    thread.stop().expect("stops");
    assert!(matches!(appender.try_append(block(300, 1)), Err(AppendError::Stopped(_))));
    let durable: Vec<u64> = told
        .iter()
        .flat_map(|told| match told {
            Told::Durable(numbers) => numbers,
            Told::Failed => panic!("nothing failed"),
        })
        .collect();
    assert_eq!(durable, range(0, 300));
    let (_, _, found) = open(&disk.crash(9));
    assert_eq!(found, range(found[0], 300));
}

#[test]
fn a_thread_reports_a_failed_sync_once_and_takes_nothing_more() {
    let disk = MemoryDisk::tracked();
    let (_, lane, _) = open(&disk);
    let (tell, told) = unbounded();
    let thread = LaneThread::start(lane, 8, Tell(tell)).expect("starts");
    let appender = thread.appender();
    appender.append(block(0, 10)).expect("runs");
    assert_eq!(told.recv(), Ok(Told::Durable(vec![0])));
    disk.fail_sync(1, Times::Once);
    appender.append(block(1, 10)).expect("runs");
    assert_eq!(told.recv(), Ok(Told::Failed));
    assert!(matches!(thread.stop(), Err(JournalError::Poisoned { .. })));
    assert!(matches!(appender.append(block(2, 10)), Err(AppendError::Stopped(_))));
    assert!(told.recv().is_err(), "told once");
}

#[test]
fn a_thread_that_started_on_a_full_disk_finds_space_without_a_group() {
    let disk = MemoryDisk::tracked();
    open(&disk).1.finish().expect("marks the end");
    let full = disk.crash_keep_all();
    full.set_capacity(Some(full.used_bytes()));
    let (journal, lane, _) = open(&full);
    let (tell, _told) = unbounded();
    let thread = LaneThread::start(lane, 8, Tell(tell)).expect("starts");
    assert!(journal.is_full());
    full.set_capacity(None);
    // Ends when the thread has looked; nothing else would clear it.
    while journal.is_full() {
        std::thread::yield_now();
    }
    thread.stop().expect("stops");
}

/// Panics at what is durable.
struct Panics(Sender<Told>);

impl Listener for Panics {
    fn durable(&mut self, _: Vec<(Block, Position)>) {
        panic!("as told");
    }

    fn failed(&mut self, _: &JournalError) {
        self.0.send(Told::Failed).expect("the test listens");
    }
}

/// Everybody would wait for a thread that is gone.
#[test]
fn a_thread_that_panics_fails_its_lane() {
    let disk = MemoryDisk::tracked();
    let (_, lane, _) = open(&disk);
    let (tell, told) = unbounded();
    let thread = LaneThread::start(lane, 8, Panics(tell)).expect("starts");
    thread.appender().append(block(0, 10)).expect("runs");
    assert_eq!(told.recv(), Ok(Told::Failed));
    let ended = thread.stop().expect_err("failed");
    assert!(ended.to_string().contains("its thread panicked"), "{ended}");
}

#[test]
fn a_thread_on_a_full_disk_waits_and_resumes() {
    let disk = MemoryDisk::tracked();
    let (journal, lane, _) = open(&disk);
    disk.set_capacity(Some(2 * SEGMENT));
    let (tell, told) = unbounded();
    let thread = LaneThread::start(lane, 2, Tell(tell)).expect("starts");
    let appender = thread.appender();
    let mut refused = None;
    let mut number = 0;
    while !journal.is_full() {
        match refused
            .take()
            .map_or_else(|| appender.try_append(block(number, 5000)), |again| appender.try_append(again))
        {
            Ok(()) => number += 1,
            Err(AppendError::Full(block)) => {
                refused = Some(block);
                std::thread::yield_now();
            }
            Err(AppendError::Stopped(_)) => panic!("a full disk is no failure"),
        }
    }
    disk.set_capacity(None);
    let mut durable = Vec::new();
    while durable.len() < number as usize {
        match told.recv().expect("told") {
            Told::Durable(numbers) => durable.extend(numbers),
            Told::Failed => panic!("a full disk is no failure"),
        }
    }
    assert_eq!(durable, range(0, number));
    thread.stop().expect("stops");
}

#[test]
fn stopping_on_a_full_disk_ends() {
    let disk = MemoryDisk::tracked();
    let (journal, lane, _) = open(&disk);
    disk.set_capacity(Some(SEGMENT));
    let (tell, told) = unbounded();
    let thread = LaneThread::start(lane, 64, Tell(tell)).expect("starts");
    let appender = thread.appender();
    for number in 0..40 {
        appender.append(block(number, 5000)).expect("room in the queue");
    }
    while !journal.is_full() {
        std::thread::yield_now();
    }
    assert_eq!(thread.stop(), Err(JournalError::DiskFull));
    let durable: usize = told
        .iter()
        .map(|told| match told {
            Told::Durable(numbers) => numbers.len(),
            Told::Failed => 0,
        })
        .sum();
    // A start writes a segment of its own, so the operator frees space first.
    let left = disk.crash(1);
    left.set_capacity(None);
    let found = open(&left).2;
    assert_eq!(found, range(0, durable as u64));
}
