//! What partitions tell each other, and what they count together, in bytes. The same changes stand in records, among those
//! of the outbox, and in snapshots.
//!
//! ```text
//! change = 1 sent    to u16 · pseq varint · n varint · n × body
//!          2 gone    to u16 · pseq varint                       parcels to it up to this one are acknowledged
//!          3 taken   from u16 · pseq varint                     parcels from it up to this one were taken in
//!          4 waiter  counter · place · key u128 · generation u32 · max varint · at i64
//!          5 served  counter · place
//!          6 lease   counter · places varint · taken varint · claimed-at i64
//!          7 spent   counter
//!          8 home    counter · max varint · taken varint · granted varint · n varint · n × (source u16 · wants varint · at i64)
//! body   = 1 claim   counter · max varint · taken varint · returned varint · wants varint · at i64
//!          2 grant   counter · places varint
//!          3 spent   counter
//! counter = version varint · node u16            place = pseq varint · ordinal varint
//! ```
//! A lease that claims nothing was claimed at [`Millis::NEVER`].
//! INVARIANT: changes are absolute: installing one twice leaves what installing it once leaves.

use crate::domain::effect::Counter;
use crate::domain::ids::{Millis, NodeNo, PartitionId, ProfileKey, Pseq, VersionId};
use crate::wire::cursor::{Cursor, WireError, put_varint};

/// What a partition says to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// To the home of a counter: what became of places, and how many more are wanted.
    Claim {
        /// Which counter.
        counter: Counter,
        /// Places there are in all.
        max: u64,
        /// Granted places that were taken since the last claim.
        taken: u64,
        /// Granted places that nobody took.
        returned: u64,
        /// Places wanted.
        wants: u64,
        /// The tick at which they are wanted, on the events' clock.
        at: Millis,
    },
    /// From the home: so many places.
    Grant {
        /// Which counter.
        counter: Counter,
        /// How many.
        places: u64,
    },
    /// From the home: all places are taken, and none will ever come back.
    Spent {
        /// Which counter.
        counter: Counter,
    },
}

/// A waiter's place in the order of arrival: the record of its arrival, and its entry.
pub type Arrival = (Pseq, u32);

/// Who waits for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// The profile.
    pub key: ProfileKey,
    /// Generation of its instance.
    pub generation: u32,
    /// Places there are in all.
    pub max: u64,
    /// When it came.
    pub at: Millis,
}

/// A partition's part in a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Places granted and given to nobody yet.
    pub places: u64,
    /// Places taken that the home was not told of.
    pub taken: u64,
    /// The tick of the claim that is not answered; [`Millis::NEVER`] if there is none.
    pub claimed_at: Millis,
}

impl Default for Lease {
    fn default() -> Self {
        Self { places: 0, taken: 0, claimed_at: Millis::NEVER }
    }
}

/// A counter at its home.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// Places there are in all.
    pub max: u64,
    /// Places taken, as far as it was told.
    pub taken: u64,
    /// Places granted of which it was not told what became of them.
    pub granted: u64,
    /// Who waits for places, how many, and since which tick.
    pub line: Vec<(PartitionId, u64, Millis)>,
}

/// One change of a partition's mail and counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailChange {
    /// A parcel is on its way.
    Sent {
        /// To this partition.
        to: PartitionId,
        /// By this record.
        pseq: Pseq,
        /// What it says.
        bodies: Vec<Body>,
    },
    /// Parcels to `to` up to this one were taken in there.
    Gone {
        /// To this partition.
        to: PartitionId,
        /// The last.
        pseq: Pseq,
    },
    /// Parcels of `from` up to this one were taken in.
    Taken {
        /// From this partition.
        from: PartitionId,
        /// The last.
        pseq: Pseq,
    },
    /// An instance waits for a place.
    Waiter(Counter, Arrival, Waiter),
    /// It waits no longer.
    Served(Counter, Arrival),
    /// The partition's part in a counter.
    Lease(Counter, Lease),
    /// All places of a counter are taken.
    Spent(Counter),
    /// A counter at its home.
    Home(Counter, Home),
}

/// Appends a change.
pub fn put_mail(out: &mut Vec<u8>, change: &MailChange) {
    match change {
        MailChange::Sent { to, pseq, bodies } => {
            put_name(out, 1, *to, *pseq);
            put_varint(out, bodies.len() as u64);
            bodies.iter().for_each(|body| put_body(out, body));
        }
        MailChange::Gone { to, pseq } => put_name(out, 2, *to, *pseq),
        MailChange::Taken { from, pseq } => put_name(out, 3, *from, *pseq),
        MailChange::Waiter(counter, arrival, waiter) => {
            put_counter(out, 4, *counter);
            put_arrival(out, *arrival);
            out.extend_from_slice(&waiter.key.0.to_le_bytes());
            out.extend_from_slice(&waiter.generation.to_le_bytes());
            put_varint(out, waiter.max);
            out.extend_from_slice(&waiter.at.0.to_le_bytes());
        }
        MailChange::Served(counter, arrival) => {
            put_counter(out, 5, *counter);
            put_arrival(out, *arrival);
        }
        MailChange::Lease(counter, lease) => {
            put_counter(out, 6, *counter);
            put_varint(out, lease.places);
            put_varint(out, lease.taken);
            out.extend_from_slice(&lease.claimed_at.0.to_le_bytes());
        }
        MailChange::Spent(counter) => put_counter(out, 7, *counter),
        MailChange::Home(counter, home) => {
            put_counter(out, 8, *counter);
            put_varint(out, home.max);
            put_varint(out, home.taken);
            put_varint(out, home.granted);
            put_varint(out, home.line.len() as u64);
            for (source, wants, at) in &home.line {
                out.extend_from_slice(&source.0.to_le_bytes());
                put_varint(out, *wants);
                out.extend_from_slice(&at.0.to_le_bytes());
            }
        }
    }
}

/// Reads a change.
pub fn read_mail(cursor: &mut Cursor<'_>) -> Result<MailChange, WireError> {
    Ok(match cursor.u8("mail change")? {
        1 => {
            let (to, pseq) = read_name(cursor)?;
            let count = cursor.varint("bodies")?;
            let bodies = (0..count).map(|_| read_body(cursor)).collect::<Result<_, _>>()?;
            MailChange::Sent { to, pseq, bodies }
        }
        2 => read_name(cursor).map(|(to, pseq)| MailChange::Gone { to, pseq })?,
        3 => read_name(cursor).map(|(from, pseq)| MailChange::Taken { from, pseq })?,
        4 => {
            let (counter, arrival) = (read_counter(cursor)?, read_arrival(cursor)?);
            let (key, generation) = (ProfileKey(cursor.u128("waiter")?), cursor.u32("generation")?);
            let waiter = Waiter { key, generation, max: cursor.varint("places")?, at: Millis(cursor.i64("at")?) };
            MailChange::Waiter(counter, arrival, waiter)
        }
        5 => MailChange::Served(read_counter(cursor)?, read_arrival(cursor)?),
        6 => {
            let counter = read_counter(cursor)?;
            let (places, taken) = (cursor.varint("places")?, cursor.varint("taken")?);
            MailChange::Lease(counter, Lease { places, taken, claimed_at: Millis(cursor.i64("claimed at")?) })
        }
        7 => MailChange::Spent(read_counter(cursor)?),
        8 => {
            let counter = read_counter(cursor)?;
            let (max, taken, granted) = (cursor.varint("places")?, cursor.varint("taken")?, cursor.varint("granted")?);
            let mut home = Home { max, taken, granted, line: Vec::new() };
            for _ in 0..cursor.varint("line")? {
                let source = PartitionId(cursor.u16("source")?);
                home.line.push((source, cursor.varint("wants")?, Millis(cursor.i64("at")?)));
            }
            MailChange::Home(counter, home)
        }
        other => return Err(WireError::invalid("mail change", other)),
    })
}

fn put_body(out: &mut Vec<u8>, body: &Body) {
    match body {
        Body::Claim { counter, max, taken, returned, wants, at } => {
            put_counter(out, 1, *counter);
            for n in [max, taken, returned, wants] {
                put_varint(out, *n);
            }
            out.extend_from_slice(&at.0.to_le_bytes());
        }
        Body::Grant { counter, places } => {
            put_counter(out, 2, *counter);
            put_varint(out, *places);
        }
        Body::Spent { counter } => put_counter(out, 3, *counter),
    }
}

fn read_body(cursor: &mut Cursor<'_>) -> Result<Body, WireError> {
    Ok(match cursor.u8("body")? {
        1 => Body::Claim {
            counter: read_counter(cursor)?,
            max: cursor.varint("places")?,
            taken: cursor.varint("taken")?,
            returned: cursor.varint("returned")?,
            wants: cursor.varint("wants")?,
            at: Millis(cursor.i64("at")?),
        },
        2 => Body::Grant { counter: read_counter(cursor)?, places: cursor.varint("places")? },
        3 => Body::Spent { counter: read_counter(cursor)? },
        other => return Err(WireError::invalid("body", other)),
    })
}

fn put_name(out: &mut Vec<u8>, tag: u8, partition: PartitionId, pseq: Pseq) {
    out.push(tag);
    out.extend_from_slice(&partition.0.to_le_bytes());
    put_varint(out, pseq.0);
}

fn read_name(cursor: &mut Cursor<'_>) -> Result<(PartitionId, Pseq), WireError> {
    Ok((PartitionId(cursor.u16("partition")?), Pseq(cursor.varint("pseq")?)))
}

fn put_counter(out: &mut Vec<u8>, tag: u8, counter: Counter) {
    out.push(tag);
    put_varint(out, u64::from(counter.version.0));
    out.extend_from_slice(&counter.node.0.to_le_bytes());
}

fn read_counter(cursor: &mut Cursor<'_>) -> Result<Counter, WireError> {
    Ok(Counter { version: VersionId(cursor.varint_u32("version")?), node: NodeNo(cursor.u16("node")?) })
}

fn put_arrival(out: &mut Vec<u8>, (pseq, ordinal): Arrival) {
    put_varint(out, pseq.0);
    put_varint(out, u64::from(ordinal));
}

fn read_arrival(cursor: &mut Cursor<'_>) -> Result<Arrival, WireError> {
    Ok((Pseq(cursor.varint("pseq")?), cursor.varint_u32("ordinal")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: &MailChange) {
        let mut bytes = Vec::new();
        put_mail(&mut bytes, change);
        assert_eq!(read_mail(&mut Cursor::new(&bytes)).as_ref(), Ok(change));
        for length in 0..bytes.len() {
            assert!(read_mail(&mut Cursor::new(&bytes[..length])).is_err(), "{change:?} cut to {length}");
        }
    }

    #[test]
    fn changes_come_back_as_they_were() {
        let counter = Counter { version: VersionId(300), node: NodeNo(7) };
        let (to, pseq) = (PartitionId(1_000), Pseq(1 << 40));
        let claim = Body::Claim { counter, max: 1_000, taken: 3, returned: 1, wants: 12, at: Millis(5) };
        let bodies = vec![claim, Body::Grant { counter, places: 9 }, Body::Spent { counter }];
        check(&MailChange::Sent { to, pseq, bodies });
        check(&MailChange::Gone { to, pseq });
        check(&MailChange::Taken { from: to, pseq });
        let waiter = Waiter { key: ProfileKey(1 << 100), generation: 4, max: 2, at: Millis(-1) };
        check(&MailChange::Waiter(counter, (pseq, 2), waiter));
        check(&MailChange::Served(counter, (pseq, 2)));
        check(&MailChange::Lease(counter, Lease { places: 2, taken: 300, ..Lease::default() }));
        check(&MailChange::Spent(counter));
        let line = vec![(to, 4, Millis(9)), (PartitionId(0), 1 << 33, Millis::NEVER)];
        check(&MailChange::Home(counter, Home { max: 1_000, taken: 998, granted: 2, line }));
    }

    #[test]
    fn unknown_tags_are_refused() {
        for bytes in [&[0][..], &[9], &[1, 0, 0, 0, 1, 4]] {
            assert!(read_mail(&mut Cursor::new(bytes)).is_err(), "{bytes:?}");
        }
    }
}
