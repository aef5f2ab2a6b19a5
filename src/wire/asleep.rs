//! A profile asleep: all of it in one run of bytes, as tables and the pages of snapshots hold it. Millions of these wait in
//! memory, so nothing is said twice and small numbers are short. The journal holds [components](crate::wire::component).
//!
//! ```text
//! chain u64 · n varint · n × place · identity text · entries and caps · n varint · n × (entered, entry) ·
//! a context for each place, in order · n varint · n × (field name text, value MessagePack)
//!
//! place   = ordinal varint · version varint · journey varint · node varint · generation varint ·
//!           flags varint: 1 the journey's timeout is due, 2 nothing is due, sends × 4 ·
//!           entered-at time · unless nothing is due: due − entered-at zigzag
//! entry   = 0 the running instance's | 1 time
//! context = event id text · event type text · event time − entered-at zigzag · n varint ·
//!           n × (node varint, visits varint) · event map · memory
//! time    = milliseconds since 2020, zigzag
//! entries and caps,
//! entered = as in [`component`](crate::wire::component)
//! memory  = as in [`memory`](crate::wire::memory)
//! zigzag  = varint of a signed number: 0, −1, 1, −2, …
//! ```

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::domain::ids::{JourneyId, Millis, NodeNo, VersionId};
use crate::domain::profile::{Context, DueKind, Instance, LastEntry, Profile};
use crate::wire::component::{put_entered, put_entries, read_entered, read_entries, vacant_instance};
use crate::wire::cursor::{Cursor, WireError, put_text, put_varint};
use crate::wire::memory::{put_memory, read_memory, varint_u16};
use crate::wire::value::{put_map, put_value, read_map, read_value};

/// 2020-01-01T00:00Z: times of today take six bytes.
const EPOCH: i64 = 1_577_836_800_000;

const TIMEOUT: u64 = 1;
const NEVER: u64 = 2;

/// Where an instance stands: all that a timer or a count needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which entry of the profile it is.
    pub ordinal: u32,
    /// Its version.
    pub version: VersionId,
    /// Its journey.
    pub journey: JourneyId,
    /// Where it waits.
    pub node: NodeNo,
    /// One more at every move.
    pub generation: u32,
    /// Messages decided so far.
    pub sends: u16,
    /// Which of its timers is next.
    pub due_kind: DueKind,
    /// When it entered.
    pub entered_at: Millis,
    /// When its next timer fires.
    pub due: Millis,
}

/// Appends the part of `profile` that moves with every decision: chain and places.
pub fn put_places(out: &mut Vec<u8>, profile: &Profile) {
    out.extend_from_slice(&profile.chain.to_le_bytes());
    put_varint(out, profile.instances.len() as u64);
    for instance in &profile.instances {
        put_varint(out, u64::from(instance.ordinal));
        put_varint(out, u64::from(instance.version.0));
        put_varint(out, u64::from(instance.journey.0));
        put_varint(out, u64::from(instance.node.0));
        put_varint(out, u64::from(instance.generation));
        let timeout = if instance.due_kind == DueKind::Timeout { TIMEOUT } else { 0 };
        let never = if instance.due == Millis::NEVER { NEVER } else { 0 };
        put_varint(out, u64::from(instance.sends) << 2 | timeout | never);
        put_time(out, instance.entered_at);
        if never == 0 {
            put_zigzag(out, instance.due.0.wrapping_sub(instance.entered_at.0));
        }
    }
}

/// Appends the rest of `profile`. It refers to the places: both belong to the same set of instances.
pub fn put_rest(out: &mut Vec<u8>, profile: &Profile) {
    put_text(out, &profile.identity);
    put_entries(out, profile);
    put_varint(out, profile.last_entries.len() as u64);
    for entry in &profile.last_entries {
        put_entered(out, entry);
        let running = profile.instances.iter().find(|i| i.journey == entry.journey);
        if entry.supplemental_id.is_none() && running.is_some_and(|i| i.entered_at == entry.at) {
            out.push(0);
        } else {
            out.push(1);
            put_time(out, entry.at);
        }
    }
    for instance in &profile.instances {
        put_context(out, instance);
    }
    put_varint(out, profile.document.0.len() as u64);
    for (name, value) in &profile.document.0 {
        put_text(out, name);
        put_value(out, value);
    }
}

fn put_context(out: &mut Vec<u8>, instance: &Instance) {
    let context = &instance.context;
    put_text(out, &context.event_id);
    put_text(out, &context.event_type);
    put_zigzag(out, context.event_time.0.wrapping_sub(instance.entered_at.0));
    put_varint(out, context.visits.len() as u64);
    for (node, visits) in &context.visits {
        put_varint(out, u64::from(node.0));
        put_varint(out, u64::from(*visits));
    }
    put_map(out, &context.event);
    put_memory(out, context);
}

/// The places of a profile asleep, one after the other, and then what is behind them.
#[derive(Clone, Debug)]
pub struct Places<'a> {
    cursor: Cursor<'a>,
    left: u64,
}

impl<'a> Places<'a> {
    /// Those of the profile asleep in `bytes`.
    pub fn of(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor::new(bytes);
        cursor.u64("chain")?;
        let left = cursor.varint("places")?;
        Ok(Self { cursor, left })
    }

    /// How many are left.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next place; `None` behind the last.
    pub fn next_place(&mut self) -> Result<Option<Place>, WireError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        read_place(&mut self.cursor).map(Some)
    }

    /// What is behind the last place.
    pub fn rest(mut self) -> Result<&'a [u8], WireError> {
        while self.next_place()?.is_some() {}
        Ok(self.cursor.rest())
    }
}

/// Makes `profile`, which is blank, the one asleep in `bytes`.
pub fn wake(profile: &mut Profile, bytes: &[u8]) -> Result<(), WireError> {
    let mut cursor = Cursor::new(bytes);
    profile.chain = cursor.u64("chain")?;
    for _ in 0..cursor.varint("places")? {
        let place = read_place(&mut cursor)?;
        if profile.instances.last().is_some_and(|before| before.ordinal >= place.ordinal) {
            return Err(WireError::invalid("place", format!("ordinal {} out of order", place.ordinal)));
        }
        profile.instances.push(vacant_instance(place.ordinal));
        place.restore(profile.instances.last_mut().expect("just pushed"));
    }
    profile.identity = SmolStr::new(cursor.text("identity")?);
    read_entries(profile, &mut cursor)?;
    for _ in 0..cursor.varint("last entries")? {
        let (journey, supplemental_id) = read_entered(&mut cursor)?;
        let at = match cursor.u8("entry")? {
            0 => {
                let running = profile.instances.iter().find(|i| i.journey == journey);
                running.ok_or_else(|| WireError::invalid("entry", "no instance of this journey runs"))?.entered_at
            }
            1 => read_time(&mut cursor, "entered at")?,
            other => return Err(WireError::invalid("entry", other)),
        };
        profile.last_entries.push(LastEntry { journey, supplemental_id, at });
    }
    for instance in &mut profile.instances {
        instance.context = read_context(&mut cursor, instance.entered_at)?;
    }
    for _ in 0..cursor.varint("fields")? {
        let name = SmolStr::new(cursor.text("field name")?);
        profile.document.insert(name, read_value(&mut cursor, 0)?);
    }
    if cursor.is_empty() {
        Ok(())
    } else {
        Err(WireError::invalid("profile", format!("{} bytes behind its end", cursor.rest().len())))
    }
}

impl Place {
    fn restore(&self, instance: &mut Instance) {
        instance.version = self.version;
        instance.journey = self.journey;
        instance.generation = self.generation;
        instance.entered_at = self.entered_at;
        instance.due = self.due;
        instance.node = self.node;
        instance.sends = self.sends;
        instance.due_kind = self.due_kind;
    }
}

fn read_place(cursor: &mut Cursor<'_>) -> Result<Place, WireError> {
    let ordinal = cursor.varint_u32("ordinal")?;
    let version = VersionId(cursor.varint_u32("version")?);
    let journey = JourneyId(cursor.varint_u32("journey")?);
    let node = NodeNo(varint_u16(cursor, "node")?);
    let generation = cursor.varint_u32("generation")?;
    let flags = cursor.varint("flags")?;
    let sends = u16::try_from(flags >> 2).map_err(|_| WireError::invalid("sends", flags >> 2))?;
    let due_kind = if flags & TIMEOUT == 0 { DueKind::Node } else { DueKind::Timeout };
    let entered_at = read_time(cursor, "entered at")?;
    let due = match flags & NEVER {
        0 => Millis(entered_at.0.wrapping_add(read_zigzag(cursor, "due")?)),
        _ => Millis::NEVER,
    };
    Ok(Place { ordinal, version, journey, node, generation, sends, due_kind, entered_at, due })
}

fn read_context(cursor: &mut Cursor<'_>, entered_at: Millis) -> Result<Context, WireError> {
    let event_id = SmolStr::new(cursor.text("event id")?);
    let event_type = SmolStr::new(cursor.text("event type")?);
    let event_time = Millis(entered_at.0.wrapping_add(read_zigzag(cursor, "event time")?));
    let mut visits = SmallVec::new();
    for _ in 0..cursor.varint("visits")? {
        visits.push((NodeNo(varint_u16(cursor, "node")?), varint_u16(cursor, "visits")?));
    }
    let event = read_map(cursor)?;
    let (last, extra) = read_memory(cursor)?;
    Ok(Context { event, last, event_id, event_type, event_time, visits, extra })
}

fn put_time(out: &mut Vec<u8>, at: Millis) {
    put_zigzag(out, at.0.wrapping_sub(EPOCH));
}

fn read_time(cursor: &mut Cursor<'_>, what: &'static str) -> Result<Millis, WireError> {
    Ok(Millis(read_zigzag(cursor, what)?.wrapping_add(EPOCH)))
}

fn put_zigzag(out: &mut Vec<u8>, n: i64) {
    put_varint(out, (n << 1 ^ n >> 63) as u64);
}

fn read_zigzag(cursor: &mut Cursor<'_>, what: &'static str) -> Result<i64, WireError> {
    let n = cursor.varint(what)?;
    Ok((n >> 1) as i64 ^ -((n & 1) as i64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::effect::CallStatus;
    use crate::domain::ids::ProfileKey;
    use crate::domain::profile::{CapCount, Extra, Held, HeldAt, LastCall};
    use crate::domain::step::Failure;
    use crate::domain::value::{Map, Value};
    use crate::wire::component::blank_profile;

    const KEY: ProfileKey = ProfileKey(5);

    fn instants() -> impl Strategy<Value = Millis> {
        prop_oneof![Just(Millis::NEVER), any::<i64>().prop_map(Millis), (0_i64..2_000_000_000_000).prop_map(Millis)]
    }

    fn maps() -> impl Strategy<Value = Map> {
        let value = prop_oneof![any::<i64>().prop_map(Value::Int), "[a-z]{0,30}".prop_map(|s| Value::Str(s.into()))];
        proptest::collection::btree_map("[a-z]{1,8}", value, 0..4)
            .prop_map(|map| Map(map.into_iter().map(|(name, value)| (name.into(), value)).collect()))
    }

    fn extras() -> impl Strategy<Value = Option<Box<Extra>>> {
        let heard = proptest::collection::vec((any::<u16>(), maps()), 0..3);
        let sent = proptest::collection::vec((any::<u16>().prop_map(NodeNo), any::<u16>()), 0..3);
        let failure = (any::<u16>().prop_map(NodeNo), failures());
        let id = proptest::option::of("[a-z0-9]{0,9}".prop_map(SmolStr::from));
        let node = proptest::option::of(any::<u16>().prop_map(NodeNo));
        let migrated = (proptest::option::of(instants()), proptest::option::of(any::<u32>().prop_map(VersionId)));
        let extra = (
            (proptest::option::of(any::<u16>()), heard, sent),
            id,
            node,
            proptest::option::of(failure),
            (maps(), calls(), calls()),
            held(),
            migrated,
        )
            .prop_map(|(walked, supplemental_id, previous_node, error, called, paused, migrated)| {
                let ((arm, heard, sent), (held, kept, shifted), (came_at, settled)) = (walked, paused, migrated);
                let (called, action, source) = called;
                Box::new(Extra {
                    arm,
                    heard,
                    sent,
                    supplemental_id,
                    previous_node,
                    error,
                    called,
                    action,
                    source,
                    held,
                    kept,
                    shifted,
                    came_at,
                    settled,
                })
            });
        proptest::option::of(extra)
    }

    fn statuses() -> impl Strategy<Value = CallStatus> {
        let named = [CallStatus::TimedOut, CallStatus::Capped, CallStatus::InternalError];
        prop_oneof![(100_u16..1_000).prop_map(CallStatus::Http), proptest::sample::select(named.to_vec())]
    }

    fn failures() -> impl Strategy<Value = Failure> {
        let plain = proptest::sample::select(&Failure::PLAIN[..]);
        prop_oneof![plain, statuses().prop_map(|status| Failure::Action(Some(status)))]
    }

    fn calls() -> impl Strategy<Value = LastCall> {
        let parts = (proptest::option::of(statuses()), proptest::option::of(0..=i64::MAX));
        parts.prop_map(|(error, took_ms)| LastCall { error, took_ms })
    }

    fn held() -> impl Strategy<Value = (Option<Held>, Vec<(NodeNo, u16, Map)>, u32)> {
        let at = prop_oneof![Just(HeldAt::Node), Just(HeldAt::Entrance)];
        let held = (instants(), at).prop_map(|(since, at)| Held { since, at });
        let kept = (any::<u16>().prop_map(NodeNo), any::<u16>(), maps());
        (proptest::option::of(held), proptest::collection::vec(kept, 0..3), any::<u32>())
    }

    fn contexts() -> impl Strategy<Value = Context> {
        let visits = proptest::collection::vec((any::<u16>().prop_map(NodeNo), any::<u16>()), 0..4);
        let last = proptest::option::of(maps());
        (maps(), last, "[a-z0-9]{0,40}", "[a-z]{1,12}", instants(), visits, extras()).prop_map(
            |(event, last, id, kind, event_time, visits, extra)| Context {
                event,
                last,
                event_id: id.into(),
                event_type: kind.into(),
                event_time,
                visits: visits.into(),
                extra,
            },
        )
    }

    fn profiles() -> impl Strategy<Value = Profile> {
        let place = (any::<[u32; 3]>(), any::<[u16; 2]>(), any::<bool>(), instants(), instants(), contexts());
        let id = proptest::option::of("[a-z]{0,5}".prop_map(SmolStr::from));
        let entries = proptest::collection::vec((0_u32..4, id, instants()), 0..3);
        let cap = ("[a-z]{1,5}", instants(), any::<u32>()).prop_map(|(name, since, entries)| CapCount {
            rule_set: name.into(),
            since,
            entries,
        });
        let caps = proptest::collection::vec(cap, 0..3);
        let whole = (any::<u64>(), any::<u32>(), "[a-z:0-9]{0,40}", maps(), caps);
        (whole, proptest::collection::vec(place, 0..4), entries).prop_map(|(whole, places, entries)| {
            let (chain, count, identity, document, caps) = whole;
            let mut profile =
                Profile { chain, entries: count, identity: identity.into(), document, caps, ..blank_profile(KEY) };
            for (index, ([version, journey, generation], [node, sends], timeout, entered_at, due, context)) in
                places.into_iter().enumerate()
            {
                profile.instances.push(Instance {
                    version: VersionId(version),
                    journey: JourneyId(journey % 4),
                    node: NodeNo(node),
                    generation,
                    entered_at,
                    due,
                    due_kind: if timeout { DueKind::Timeout } else { DueKind::Node },
                    ordinal: index as u32 * 1_000 + 1,
                    sends,
                    context,
                });
            }
            // Half of the entries are those of running instances.
            for (journey, supplemental_id, at) in entries {
                let running = profile.instances.iter().find(|i| i.journey.0 == journey).map(|i| i.entered_at);
                let at = running.unwrap_or(at);
                profile.last_entries.push(LastEntry { journey: JourneyId(journey), supplemental_id, at });
            }
            profile
        })
    }

    proptest! {
        #[test]
        fn who_sleeps_wakes_as_they_were(profile in profiles(), flip in any::<(usize, u8)>()) {
            let (mut bytes, mut rest) = (Vec::new(), Vec::new());
            put_places(&mut bytes, &profile);
            put_rest(&mut rest, &profile);
            bytes.extend_from_slice(&rest);
            let mut places = Places::of(&bytes).expect("just written");
            for instance in &profile.instances {
                let place = places.next_place().expect("just written").expect("one for each instance");
                prop_assert_eq!((place.ordinal, place.generation), (instance.ordinal, instance.generation));
                prop_assert_eq!((place.version, place.due), (instance.version, instance.due));
            }
            prop_assert_eq!(places.rest(), Ok(&rest[..]));
            let mut awake = blank_profile(KEY);
            wake(&mut awake, &bytes).expect("just written");
            prop_assert_eq!(&awake, &profile);
            // Damage and cuts are errors or other profiles, never a panic.
            prop_assert!(wake(&mut blank_profile(KEY), &bytes[..bytes.len() - 1]).is_err());
            let at = flip.0 % bytes.len();
            bytes[at] ^= flip.1;
            let _ = wake(&mut blank_profile(KEY), &bytes);
        }
    }

    #[test]
    fn one_who_waits_takes_few_bytes() {
        let mut profile = Profile { identity: "crm:customer-1234567".into(), entries: 1, ..blank_profile(KEY) };
        let now = Millis(1_795_000_000_000);
        let mut instance = Instance { entered_at: now, due: now.plus(30 * 86_400_000), ..vacant_instance(1) };
        instance.context.event_id = "shop-0-1234567".into();
        instance.context.event_type = "cart_add".into();
        instance.context.event_time = now.plus(-20);
        profile.last_entries.push(LastEntry { journey: instance.journey, supplemental_id: None, at: now });
        profile.instances.push(instance);
        let mut bytes = Vec::new();
        put_places(&mut bytes, &profile);
        put_rest(&mut bytes, &profile);
        let texts = "crm:customer-1234567shop-0-1234567cart_add".len();
        assert_eq!(bytes.len() - texts, 38);
    }
}
