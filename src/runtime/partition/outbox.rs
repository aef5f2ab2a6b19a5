//! The outbox of a partition: decided messages that have not been answered for. Rows leave only by a journaled result.

use std::collections::BTreeMap;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::domain::effect::{OutboxRow, OutboxState};
use crate::domain::ids::{DeliveryId, InstanceId, Millis};
use crate::domain::journey::program::Channel;
use crate::wire::cursor::{Cursor, WireError, put_varint};
use crate::wire::outbox::{OutboxChange, put_row, read_row};

/// A row and whether a channel has it.
#[derive(Clone, Debug)]
struct Entry {
    row: Arc<OutboxRow>,
    surface: Option<SmolStr>,
    hand: Hand,
}

/// Rows by delivery id.
#[derive(Debug, Default)]
pub struct Outbox {
    rows: BTreeMap<DeliveryId, Entry>,
    by_surface: BTreeMap<Option<SmolStr>, usize>,
}

impl Outbox {
    /// Rows waiting, by surface (`None` = the log).
    pub fn waiting(&self, surface: Option<&str>) -> usize {
        self.by_surface.iter().find(|(s, _)| s.as_deref() == surface).map_or(0, |(_, n)| *n)
    }

    /// Rows waiting in all.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row waits.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row `id`.
    pub fn get(&self, id: DeliveryId) -> Option<&Arc<OutboxRow>> {
        self.rows.get(&id).map(|e| &e.row)
    }

    /// All rows, by id.
    pub fn rows(&self) -> impl Iterator<Item = &Arc<OutboxRow>> {
        self.rows.values().map(|e| &e.row)
    }

    /// Installs a change: absolute, so that installing it again changes nothing. `surface_of` names the surface of a new row.
    pub fn install(&mut self, change: &OutboxChange, surface_of: impl Fn(&OutboxRow) -> Option<SmolStr>) {
        match change {
            OutboxChange::Put(row) => {
                self.remove(row.id);
                let surface = surface_of(row);
                *self.by_surface.entry(surface.clone()).or_default() += 1;
                self.rows.insert(row.id, Entry { row: Arc::new((**row).clone()), surface, hand: Hand::Ours });
            }
            OutboxChange::Gone(id) => self.remove(*id),
            OutboxChange::State { id, state, first_attempt_at } => {
                if let Some(entry) = self.rows.get_mut(id) {
                    let row = Arc::make_mut(&mut entry.row);
                    row.state = *state;
                    row.first_attempt_at = *first_attempt_at;
                }
            }
        }
    }

    fn remove(&mut self, id: DeliveryId) {
        if let Some(entry) = self.rows.remove(&id)
            && let Some(count) = self.by_surface.get_mut(&entry.surface)
        {
            *count -= 1;
        }
    }

    /// Notes who has the row.
    pub fn set_hand(&mut self, id: DeliveryId, hand: Hand) {
        if let Some(entry) = self.rows.get_mut(&id) {
            entry.hand = hand;
        }
    }

    /// After a start no channel has anything: every row that waits for nobody's decision is to be offered.
    pub fn take_all_back(&mut self) {
        for entry in self.rows.values_mut() {
            entry.hand = Hand::Returned;
        }
    }

    /// Rows that came back from a channel and wait for nobody's decision, up to `max`.
    pub fn returned(&self, max: usize) -> Vec<DeliveryId> {
        self.rows
            .iter()
            .filter(|(_, e)| e.hand == Hand::Returned && e.row.state != OutboxState::InDoubt)
            .map(|(id, _)| *id)
            .take(max)
            .collect()
    }

    /// Rows of `instance` of which no attempt began: no channel has them, or the channel journals attempts and has not.
    pub fn unattempted(&self, partition_first: DeliveryId, instance: InstanceId) -> Vec<DeliveryId> {
        let first = DeliveryId { instance, ordinal: 0, ..partition_first };
        let last = DeliveryId { instance, ordinal: u16::MAX, ..partition_first };
        self.rows
            .range(first..=last)
            .filter(|(_, e)| {
                e.row.state == OutboxState::Pending && (e.hand != Hand::Channel || e.row.channel == Channel::Email)
            })
            .map(|(id, _)| *id)
            .collect()
    }

    /// Appends all rows.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.rows.len() as u64);
        for entry in self.rows.values() {
            put_row(out, &entry.row);
        }
    }

    /// Reads what [`Outbox::put`] wrote.
    pub fn read(
        cursor: &mut Cursor<'_>,
        surface_of: impl Fn(&OutboxRow) -> Option<SmolStr>,
    ) -> Result<Self, WireError> {
        let mut outbox = Self::default();
        for _ in 0..cursor.varint("outbox rows")? {
            let row = read_row(cursor)?;
            outbox.install(&OutboxChange::Put(Box::new(row)), &surface_of);
        }
        Ok(outbox)
    }
}

/// Who has a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// We do: its record is not durable yet.
    Ours,
    /// A channel.
    Channel,
    /// We do: no channel has it, and one should.
    Returned,
}

/// The change that sets how far `row` has come.
pub fn state_change(row: &OutboxRow, state: OutboxState, first_attempt_at: Option<Millis>) -> OutboxChange {
    OutboxChange::State { id: row.id, state, first_attempt_at }
}
