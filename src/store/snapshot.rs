//! STUB.
use crate::domain::ids::{Millis, PartitionId, Pseq};
use crate::store::disk::Disk;
use crate::store::error::StoreError;
use std::collections::BTreeMap;
use std::sync::Arc;
#[derive(Debug)]
pub struct SnapshotStore;
#[derive(Debug)]
pub struct Loaded {
    pub generation: u64,
    pub cut: Pseq,
    pub parts: Vec<u8>,
    pub pages: BTreeMap<u32, Vec<u8>>,
}
#[derive(Debug)]
pub struct NewSnapshot;
#[derive(Debug)]
pub struct SnapshotWriter;
impl SnapshotStore {
    pub fn open(_: Arc<dyn Disk>) -> Result<Self, StoreError> {
        Ok(Self)
    }
    pub fn load(&self, _: PartitionId) -> Result<Option<Loaded>, StoreError> {
        Ok(None)
    }
    pub fn wants_full(&self, _: PartitionId) -> bool {
        true
    }
    pub fn begin(&self, _: PartitionId, _: u64, _: bool, _: Pseq, _: Millis) -> Result<SnapshotWriter, StoreError> {
        Ok(SnapshotWriter)
    }
    pub fn publish(&self, _: Vec<NewSnapshot>) -> Result<(), StoreError> {
        Ok(())
    }
    pub fn passed(&self) -> Vec<(PartitionId, Pseq)> {
        Vec::new()
    }
}
impl SnapshotWriter {
    pub fn page(&mut self, _: u32, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }
    pub fn parts(&mut self, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }
    pub fn finish(self) -> Result<NewSnapshot, StoreError> {
        Ok(NewSnapshot)
    }
}
