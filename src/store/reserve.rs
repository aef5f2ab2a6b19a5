//! Space set aside for one snapshot: a file of zeros that ingest never uses.
//!
//! On a full disk the journal can be recycled only after snapshots have passed it, and a snapshot needs space. So
//! whoever takes snapshots releases the reserve first, and holds it again once there is room.

use std::sync::Arc;

use super::disk::Disk;
use super::error::{Operation, StoreError, is_disk_full};

const PATH: &str = "RESERVE";

/// The reserve of a data directory.
#[derive(Debug)]
pub struct Reserve {
    disk: Arc<dyn Disk>,
    bytes: u64,
}

impl Reserve {
    /// The reserve of this size (bytes, 0 = none); nothing is taken yet.
    pub fn new(disk: Arc<dyn Disk>, bytes: u64) -> Self {
        Self { disk, bytes }
    }

    /// Whether the space is set aside now.
    pub fn is_held(&self) -> Result<bool, StoreError> {
        let names = self.disk.list("").map_err(|error| StoreError::io(Operation::Directory, PATH, error))?;
        if !names.iter().any(|name| name == PATH) {
            return Ok(false);
        }
        let len = self.disk.open_read(PATH).and_then(|file| file.len());
        Ok(len.map_err(|error| StoreError::io(Operation::Read, PATH, error))? == self.bytes)
    }

    /// Sets the space aside.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] while there is less than twice the reserve: ingest must get some of what was freed.
    pub fn hold(&self) -> Result<(), StoreError> {
        if self.bytes == 0 || self.is_held()? {
            return Ok(());
        }
        let full = || StoreError::DiskFull { path: PATH.to_owned() };
        let free = self.disk.free_bytes().map_err(|error| StoreError::io(Operation::Directory, PATH, error))?;
        if free < self.bytes.saturating_mul(2) {
            return Err(full());
        }
        let written = self.disk.create(PATH).and_then(|mut file| file.prewrite(self.bytes));
        let written = written.and_then(|()| self.disk.sync_dir(""));
        written.map_err(|error| {
            if !is_disk_full(&error) {
                return StoreError::io(Operation::Write, PATH, error);
            }
            // Half a reserve must not keep the space that someone else needs; if it stays, `is_held` says no.
            drop(self.disk.remove(PATH));
            full()
        })
    }

    /// Gives the space back, for a snapshot.
    pub fn release(&self) -> Result<(), StoreError> {
        match self.disk.remove(PATH) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| StoreError::io(Operation::Directory, PATH, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryDisk;

    #[test]
    fn the_reserve_takes_space_and_gives_it_back() {
        let disk = MemoryDisk::tracked();
        disk.set_capacity(Some(3000));
        let reserve = Reserve::new(Arc::new(disk.clone()), 1000);
        reserve.hold().expect("fits");
        assert!(reserve.is_held().expect("asks"));
        reserve.hold().expect("holds already");
        assert_eq!(disk.free_bytes().expect("asks"), 2000);
        reserve.release().expect("gives back");
        reserve.release().expect("nothing to give back");
        assert_eq!(disk.free_bytes().expect("asks"), 3000);
        disk.set_capacity(Some(1999));
        assert!(matches!(reserve.hold(), Err(StoreError::DiskFull { .. })));
        assert!(!reserve.is_held().expect("asks"));
    }
}
