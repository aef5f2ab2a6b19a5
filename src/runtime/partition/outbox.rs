//! The outbox of a partition: decided messages that have not been answered for. Rows leave only by a journaled result.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::domain::effect::{OutboxRow, OutboxState};
use crate::domain::ids::{DeliveryId, InstanceId, Millis};
use crate::domain::journey::program::Channel;
use crate::planted::{Bug, is_planted};
use crate::wire::cursor::{Cursor, WireError, put_varint};
use crate::wire::outbox::{OutboxChange, put_row, read_row};

/// A row and whether a channel has it.
#[derive(Clone, Debug)]
struct Entry {
    row: Arc<OutboxRow>,
    surface: Option<SmolStr>,
    hand: Hand,
    past: Past,
}

/// What an earlier life of the process may have done with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    /// It is of this life, or its channel journals what it tries.
    Known,
    /// It may have been with a channel that journals nothing, and may have left.
    Unknown,
}

/// Rows by delivery id.
#[derive(Debug, Default)]
pub struct Outbox {
    rows: BTreeMap<DeliveryId, Entry>,
    by_surface: BTreeMap<Option<SmolStr>, usize>,
    /// INVARIANT: the rows in [`Hand::Returned`], so that looking for them never walks what channels have.
    returned: BTreeSet<DeliveryId>,
    /// The last row of `returned` that was offered: the next turn goes on behind it, so that rows of one surface
    /// without room do not keep those of others back.
    offered_last: Option<DeliveryId>,
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
    pub fn install(&mut self, change: OutboxChange, surface_of: impl Fn(&OutboxRow) -> Option<SmolStr>) {
        match change {
            OutboxChange::Put(row) => {
                self.remove(row.id);
                let surface = surface_of(&row);
                *self.by_surface.entry(surface.clone()).or_default() += 1;
                let entry = Entry { row: Arc::from(row), surface, hand: Hand::Ours, past: Past::Known };
                self.rows.insert(entry.row.id, entry);
            }
            OutboxChange::Gone(id) => self.remove(id),
            OutboxChange::Mail(_) => unreachable!("no row of the outbox"),
            OutboxChange::State { id, state, first_attempt_at } => {
                if let Some(entry) = self.rows.get_mut(&id) {
                    let row = Arc::make_mut(&mut entry.row);
                    row.state = state;
                    row.first_attempt_at = first_attempt_at;
                }
            }
        }
    }

    fn remove(&mut self, id: DeliveryId) {
        self.returned.remove(&id);
        if let Some(entry) = self.rows.remove(&id)
            && let Some(count) = self.by_surface.get_mut(&entry.surface)
        {
            *count -= 1;
        }
    }

    /// Who has the row `id`.
    pub fn hand(&self, id: DeliveryId) -> Option<Hand> {
        self.rows.get(&id).map(|e| e.hand)
    }

    /// Notes who has the row.
    pub fn set_hand(&mut self, id: DeliveryId, hand: Hand) {
        let Some(entry) = self.rows.get_mut(&id) else { return };
        entry.hand = hand;
        match hand {
            Hand::Returned => self.returned.insert(id),
            Hand::Ours | Hand::Channel => self.returned.remove(&id),
        };
    }

    /// After a start no channel has anything: every row that waits for nobody's decision is to be offered. Which of them
    /// channels had before, only those know that journal their attempts.
    pub fn take_all_back(&mut self) {
        for entry in self.rows.values_mut() {
            entry.hand = Hand::Returned;
            entry.past = if journals_attempts(entry.row.channel) { Past::Known } else { Past::Unknown };
        }
        self.returned = self.rows.keys().copied().collect();
    }

    /// After a move everything decided is durable, and who was to offer it is gone: rows that no channel has are to be
    /// offered.
    pub fn take_ours_back(&mut self) {
        for (id, entry) in self.rows.iter_mut().filter(|(_, e)| e.hand == Hand::Ours) {
            entry.hand = Hand::Returned;
            self.returned.insert(*id);
        }
    }

    /// Whether a row of the log channel waits to be offered (again): after a start, or for want of room.
    pub fn has_returned_log_rows(&self) -> bool {
        self.returned.iter().filter_map(|id| self.rows.get(id)).any(|e| e.row.channel == Channel::Log)
    }

    /// Whether a row waits to be offered again.
    pub fn has_returned(&self) -> bool {
        !self.returned.is_empty()
    }

    /// Rows that no channel has and one should, up to `max`, each in its turn. Those in doubt are nobody's any more
    /// until they are decided about.
    pub fn take_returned(&mut self, max: usize) -> Vec<DeliveryId> {
        let after = self.offered_last.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.returned.range((after, Bound::Unbounded));
        let before = self.offered_last.into_iter().flat_map(|last| self.returned.range(..=last));
        let taken: Vec<DeliveryId> = behind.chain(before).take(max).copied().collect();
        self.offered_last = taken.last().copied();
        let rows = &self.rows;
        let (open, doubtful): (Vec<_>, Vec<_>) = taken.into_iter().partition(|id| {
            rows.get(id).is_some_and(|e| e.row.state != OutboxState::InDoubt || is_planted(Bug::DoubtOffered))
        });
        for id in doubtful {
            self.set_hand(id, Hand::Ours);
        }
        open
    }

    /// Rows of `instance` of which no attempt began: no channel has them nor had them before the start, or the channel
    /// journals attempts and has not.
    pub fn unattempted(&self, partition_first: DeliveryId, instance: InstanceId) -> Vec<DeliveryId> {
        let first = DeliveryId { instance, ordinal: 0, ..partition_first };
        let last = DeliveryId { instance, ordinal: u16::MAX, ..partition_first };
        self.rows
            .range(first..=last)
            .filter(|(_, e)| {
                let untouched = e.hand != Hand::Channel && e.past == Past::Known;
                e.row.state == OutboxState::Pending && (untouched || journals_attempts(e.row.channel))
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
            outbox.install(OutboxChange::Put(Box::new(row)), &surface_of);
        }
        Ok(outbox)
    }
}

/// Whether a channel journals an attempt before its first byte, and asks then whether the row is still there.
fn journals_attempts(channel: Channel) -> bool {
    channel == Channel::Email
}

/// Who has a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// We do: its record is not durable yet, or it waits for somebody's decision.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::content::RenderInput;
    use crate::domain::ids::{MessageId, NodeNo, PartitionId, VersionId};

    fn row(n: u128) -> OutboxRow {
        OutboxRow {
            id: DeliveryId { partition: PartitionId(0), instance: InstanceId(n), ordinal: 0 },
            profile: "crm:1".into(),
            version: VersionId(0),
            node: NodeNo(0),
            entry_ordinal: 1,
            message: 0,
            message_id: MessageId(0),
            channel: Channel::Webhook,
            recipient: SmolStr::default(),
            input: RenderInput::default(),
            decided_at: Millis(0),
            state: OutboxState::Pending,
            first_attempt_at: None,
        }
    }

    #[test]
    fn rows_without_room_do_not_keep_others_back() {
        let mut outbox = Outbox::default();
        for n in 0..10 {
            outbox.install(OutboxChange::Put(Box::new(row(n))), |_| None);
        }
        outbox.take_all_back();
        let mut offered = BTreeSet::new();
        for _ in 0..4 {
            // None of them finds room: all stay returned.
            offered.extend(outbox.take_returned(3));
        }
        assert_eq!(offered.len(), 10);
        assert_eq!(outbox.take_returned(100).len(), 10);
    }

    #[test]
    fn after_a_start_only_what_is_known_to_be_untried_can_be_taken_back() {
        let mut outbox = Outbox::default();
        let of = |channel, ordinal| {
            let id = DeliveryId { ordinal, ..row(1).id };
            OutboxChange::Put(Box::new(OutboxRow { channel, id, ..row(1) }))
        };
        outbox.install(of(Channel::Webhook, 0), |_| None);
        outbox.install(of(Channel::Log, 1), |_| None);
        outbox.install(of(Channel::Email, 2), |_| None);
        let ordinals = |outbox: &Outbox| {
            outbox.unattempted(row(1).id, InstanceId(1)).iter().map(|id| id.ordinal).collect::<Vec<_>>()
        };
        assert_eq!(ordinals(&outbox), [0, 1, 2], "nobody has them yet");
        outbox.take_all_back();
        assert_eq!(ordinals(&outbox), [2]);
        outbox.install(of(Channel::Webhook, 3), |_| None);
        assert_eq!(ordinals(&outbox), [2, 3], "of this life");
    }

    #[test]
    fn what_a_channel_has_is_not_offered_again() {
        let mut outbox = Outbox::default();
        for n in 0..3 {
            outbox.install(OutboxChange::Put(Box::new(row(n))), |_| None);
        }
        outbox.set_hand(row(0).id, Hand::Channel);
        outbox.take_ours_back();
        outbox.install(OutboxChange::Gone(row(1).id), |_| None);
        assert_eq!(outbox.take_returned(9), [row(2).id]);
        outbox.set_hand(row(2).id, Hand::Channel);
        assert!(!outbox.has_returned());
    }
}
