//! A file of the memory disk: sparse chunks, and an undo log of what no sync has covered.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::SECTOR;
use super::device::{Shared, Tracking};
use super::dice::Dice;
use super::faults::{Faults, ReadFault, WriteFault};
use crate::store::disk::DiskFile;

/// Bytes of a chunk: prewritten but unused space costs nothing.
const CHUNK: usize = 64 << 10;

/// The bytes of a file. Chunks never written are zeros. Clones share chunks until one of them writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    chunks: Vec<Option<Arc<Vec<u8>>>>,
    len: u64,
    durable_len: u64,
    /// Oldest first: what each unsynced write has replaced, in whole sectors.
    undo: Vec<Undo>,
    /// Sectors whose sync failed, with what is still on the platter: only a new write and its sync mend them.
    ghosts: BTreeMap<u64, Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Undo {
    sector: u64,
    before: Vec<u8>,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let there = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX).min(buffer.len());
        let mut done = 0;
        while done < there {
            let (chunk, within) = split(offset + done as u64);
            let piece = (CHUNK - within).min(there - done);
            let target = &mut buffer[done..done + piece];
            match self.chunks.get(chunk).and_then(Option::as_ref) {
                Some(bytes) => target.copy_from_slice(&bytes[within..within + piece]),
                None => target.fill(0),
            }
            done += piece;
        }
        there
    }

    /// Changes bytes without a trace, as if they had always been so.
    pub(super) fn overwrite(&mut self, bytes: &[u8], offset: u64) {
        let mut done = 0;
        while done < bytes.len() {
            let (chunk, within) = split(offset + done as u64);
            let piece = (CHUNK - within).min(bytes.len() - done);
            if self.chunks.len() <= chunk {
                self.chunks.resize(chunk + 1, None);
            }
            let target = self.chunks[chunk].get_or_insert_with(|| Arc::new(vec![0; CHUNK]));
            Arc::make_mut(target)[within..within + piece].copy_from_slice(&bytes[done..done + piece]);
            done += piece;
        }
        self.len = self.len.max(offset + bytes.len() as u64);
    }

    /// Remembers the sectors of `offset..offset + len` as they are.
    fn remember(&mut self, offset: u64, len: usize) {
        let sector = offset / SECTOR as u64;
        let end = (offset + len as u64).div_ceil(SECTOR as u64);
        let mut before = vec![0; (end - sector) as usize * SECTOR];
        self.read(&mut before, sector * SECTOR as u64);
        self.undo.push(Undo { sector, before });
    }

    fn set_len(&mut self, len: u64) {
        if len < self.len {
            let (chunk, within) = split(len);
            if let Some(Some(bytes)) = self.chunks.get_mut(chunk) {
                Arc::make_mut(bytes)[within..].fill(0);
            }
            self.chunks.truncate(chunk + 1);
        }
        self.len = len;
    }

    fn synced(&mut self) {
        for undo in self.undo.drain(..) {
            for index in 0..undo.before.len() / SECTOR {
                self.ghosts.remove(&(undo.sector + index as u64));
            }
        }
        self.durable_len = self.len;
    }

    /// A failed sync: the pages count as clean though they are not on the platter.
    fn sync_failed(&mut self) {
        for undo in self.undo.drain(..) {
            for (index, sector) in undo.before.chunks_exact(SECTOR).enumerate() {
                self.ghosts.entry(undo.sector + index as u64).or_insert_with(|| sector.to_vec());
            }
        }
    }

    /// What is left after a power cut: from the newest write to the oldest, each kept, lost or torn.
    pub(super) fn after_power_cut(&self, dice: &mut Dice, struck: &Faults) -> Self {
        let mut left = Self { undo: Vec::new(), ghosts: BTreeMap::new(), ..self.clone() };
        let mut settled = BTreeSet::new();
        for undo in self.undo.iter().rev() {
            let fate = dice.below(3);
            struck.strike(["", "disk: torn write", "disk: lost write"][fate as usize], u64::from(fate > 0));
            for (index, before) in undo.before.chunks_exact(SECTOR).enumerate() {
                let sector = undo.sector + index as u64;
                let kept = fate == 0 || (fate == 1 && dice.below(2) == 0);
                if settled.contains(&sector) {
                    continue;
                }
                if kept {
                    settled.insert(sector);
                } else {
                    left.overwrite(before, sector * SECTOR as u64);
                }
            }
        }
        for (sector, before) in &self.ghosts {
            if !settled.contains(sector) && dice.below(4) != 0 {
                left.overwrite(before, sector * SECTOR as u64);
            }
        }
        let len = if dice.below(2) == 0 { self.len } else { self.durable_len };
        left.set_len(len);
        left.durable_len = len;
        left
    }
}

fn split(offset: u64) -> (usize, usize) {
    ((offset / CHUNK as u64) as usize, (offset % CHUNK as u64) as usize)
}

/// An open file of the memory disk.
#[derive(Debug)]
pub(super) struct MemoryFile {
    shared: Arc<Shared>,
    content: Arc<Mutex<Content>>,
}

impl MemoryFile {
    pub(super) fn new(shared: Arc<Shared>, content: Arc<Mutex<Content>>) -> Self {
        Self { shared, content }
    }

    /// Takes space for growth from `from` to `to` bytes; what doesn't fit is an error.
    fn take(&self, from: u64, to: u64) -> io::Result<()> {
        if to <= from {
            self.shared.used.fetch_sub(from - to, Ordering::Relaxed);
            return Ok(());
        }
        let used = self.shared.used.load(Ordering::Relaxed);
        if self.shared.faults.capacity().is_some_and(|capacity| used + (to - from) > capacity) {
            self.shared.faults.strike("disk: no space left", 1);
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on the memory disk"));
        }
        self.shared.used.fetch_add(to - from, Ordering::Relaxed);
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.shared.faults.running()?;
        let read = self.content.lock().read(buffer, offset);
        match self.shared.faults.read(read) {
            Some(ReadFault::FlippedBit) => buffer[read / 2] ^= 1 << (offset % 8),
            Some(ReadFault::StaleSector) => {
                let end = read.min(2 * SECTOR);
                buffer.copy_within(..end.min(SECTOR), end - end.min(SECTOR));
            }
            None => {}
        }
        Ok(read)
    }

    fn write_some_at(&mut self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        self.shared.faults.change()?;
        let (through, fault) = self.shared.faults.write(buffer.len());
        let content = &mut *self.content.lock();
        self.take(content.len, content.len.max(offset + through as u64))?;
        if self.shared.tracking == Tracking::On && through > 0 {
            content.remember(offset, through);
        }
        content.overwrite(&buffer[..through], offset);
        match fault {
            Some(WriteFault::Fails) => Err(io::Error::other("injected: write stopped half way")),
            Some(WriteFault::Short) | None => Ok(through),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.shared.faults.change()?;
        let answer = self.shared.faults.sync();
        let content = &mut *self.content.lock();
        match answer {
            Ok(()) => content.synced(),
            Err(_) => content.sync_failed(),
        }
        answer
    }

    fn len(&self) -> io::Result<u64> {
        self.shared.faults.running()?;
        Ok(self.content.lock().len)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.shared.faults.change()?;
        let content = &mut *self.content.lock();
        self.take(content.len, len)?;
        if self.shared.tracking == Tracking::On && len < content.len {
            content.remember(len, (content.len - len) as usize);
        }
        content.set_len(len);
        Ok(())
    }

    fn prewrite(&mut self, len: u64) -> io::Result<()> {
        self.set_len(0)?;
        self.set_len(len)?;
        self.sync()
    }
}
