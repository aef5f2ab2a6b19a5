//! Identifiers, sequences and instants as newtypes. Owns nothing else; knows no clock.
//!
//! Numbers given out at publish (journeys, versions, nodes, messages) are stored in the catalog and never
//! reused. Keys of profiles are 128-bit keyed hashes: eight bytes alone would merge two customers.

use std::fmt;
use std::hash::Hasher as _;

use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128 as _, SipHasher24};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A sandbox: every key and format carries it. Only [`SandboxId::DEFAULT`] exists so far.
    SandboxId(u16)
);
number!(
    /// A partition: the unit of state, order and move. [`PartitionId::SYSTEM`] holds the catalog.
    PartitionId(u16)
);
number!(
    /// A shard: one thread that owns partitions.
    ShardId(u16)
);
number!(
    /// A journey (all its versions share it).
    JourneyId(u32)
);
number!(
    /// One published version of one journey, numbered over all journeys of the data directory.
    VersionId(u32)
);
number!(
    /// A node inside one version: its index in [`Program::nodes`](crate::domain::journey::program::Program).
    NodeNo(u16)
);
number!(
    /// A message resource (one revision of it).
    MessageId(u32)
);
number!(
    /// The catalog as a whole: one more with every applied change.
    CatalogVersion(u32)
);
number!(
    /// A partition's own sequence of records, contiguous from 1.
    Pseq(u64)
);
number!(
    /// How often a partition has changed its owner; records carry it, so that a late owner is fenced.
    OwnershipEpoch(u32)
);

impl SandboxId {
    /// The one sandbox of this release.
    pub const DEFAULT: Self = Self(0);
}

impl PartitionId {
    /// The partition of catalog records; never holds profiles.
    pub const SYSTEM: Self = Self(u16::MAX);
}

/// Milliseconds since the Unix epoch, UTC. Every instant in Sojourn has this shape.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// "No instant": later than every real one.
    pub const NEVER: Self = Self(i64::MAX);
    /// Earlier than every real one.
    pub const MIN: Self = Self(i64::MIN);

    /// This instant moved by `duration_ms`, saturating.
    #[must_use]
    pub fn plus(self, duration_ms: i64) -> Self {
        Self(self.0.saturating_add(duration_ms))
    }

    /// ISO-8601 in UTC with milliseconds and `Z`; `never` for [`Millis::NEVER`].
    pub fn to_iso(self) -> String {
        if self == Self::NEVER {
            return "never".to_owned();
        }
        jiff::Timestamp::from_millisecond(self.0).map_or_else(|_| format!("{}ms", self.0), |t| format!("{t:.3}"))
    }

    /// Parses an ISO-8601 instant. A zone or `Z` is required, save that a date alone means 00:00Z.
    pub fn parse_iso(text: &str) -> Option<Self> {
        if let Ok(t) = text.parse::<jiff::Timestamp>() {
            return Some(Self(t.as_millisecond()));
        }
        if text.len() == 10
            && let Ok(date) = text.parse::<jiff::civil::Date>()
        {
            let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
            return Some(Self(zoned.timestamp().as_millisecond()));
        }
        None
    }
}

impl fmt::Debug for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_iso())
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_iso())
    }
}

/// The key of a profile: a 128-bit keyed hash of (sandbox, namespace, value).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProfileKey(pub u128);

impl fmt::Debug for ProfileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The secret of a data directory that keys [`ProfileKey`]s, so that outsiders can't aim at a partition or bucket.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashKey(pub [u8; 16]);

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(..)")
    }
}

impl HashKey {
    /// The key of virtual runs (`replay`, tests): the same input gives the same layout.
    pub const FIXED: Self = Self(*b"sojourn-fixed-01");

    /// The key of the profile (sandbox, namespace, value).
    pub fn profile_key(&self, sandbox: SandboxId, namespace: &str, value: &str) -> ProfileKey {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write_u16(sandbox.0);
        hasher.write_u32(namespace.len() as u32);
        hasher.write(namespace.as_bytes());
        hasher.write(value.as_bytes());
        ProfileKey(hasher.finish128().as_u128())
    }

    /// The key of the profile `namespace:value`.
    pub fn key_of(&self, sandbox: SandboxId, identity: &str) -> ProfileKey {
        let (namespace, value) = identity.split_once(':').unwrap_or((identity, ""));
        self.profile_key(sandbox, namespace, value)
    }
}

/// A 128-bit hash with a fixed key: for ids that must be the same in every data directory.
pub fn stable_hash(parts: &[&[u8]]) -> u128 {
    let mut hasher = SipHasher24::new_with_key(&HashKey::FIXED.0);
    for part in parts {
        hasher.write_u32(part.len() as u32);
        hasher.write(part);
    }
    hasher.finish128().as_u128()
}

impl ProfileKey {
    /// The partition of this profile among `partition_count`.
    pub fn partition(self, partition_count: u16) -> PartitionId {
        // High bits: the table inside a partition uses the low ones.
        let high = (self.0 >> 64) as u64;
        PartitionId(((u128::from(high) * u128::from(partition_count)) >> 64) as u16)
    }
}

/// One profile's run through one version: a hash fixed at entry, the same after any restart or move.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub u128);

impl InstanceId {
    /// `identity` is the full `namespace:value`; `ordinal` counts the profile's entries over all journeys.
    pub fn new(sandbox: SandboxId, identity: &str, journey: JourneyId, ordinal: u32) -> Self {
        Self(stable_hash(&[
            b"instance",
            &sandbox.0.to_le_bytes(),
            identity.as_bytes(),
            &journey.0.to_le_bytes(),
            &ordinal.to_le_bytes(),
        ]))
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A delivery: partition (so that feedback finds its way), instance and the instance's own send ordinal. Never the attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeliveryId {
    /// Where the outbox row lives.
    pub partition: PartitionId,
    /// The instance that sends.
    pub instance: InstanceId,
    /// 0 for the first message of the instance.
    pub ordinal: u16,
}

impl fmt::Display for DeliveryId {
    /// `d-<partition>-<instance>-<ordinal>`, all hex: the idempotency key that receivers see.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d-{:04x}-{:032x}-{:x}", self.partition.0, self.instance.0, self.ordinal)
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for DeliveryId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.strip_prefix("d-").ok_or(())?.split('-');
        let mut next = || parts.next().ok_or(());
        let partition = u16::from_str_radix(next()?, 16).map_err(|_| ())?;
        let instance = u128::from_str_radix(next()?, 16).map_err(|_| ())?;
        let ordinal = u16::from_str_radix(next()?, 16).map_err(|_| ())?;
        if parts.next().is_some() {
            return Err(());
        }
        Ok(Self { partition: PartitionId(partition), instance: InstanceId(instance), ordinal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delivery_ids_read_back() {
        let id = DeliveryId { partition: PartitionId(1023), instance: InstanceId(77 << 90), ordinal: 17 };
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("d-1-2".parse::<DeliveryId>(), Err(()));
        assert_eq!("d-1-2-3-4".parse::<DeliveryId>(), Err(()));
    }

    #[test]
    fn keys_tell_namespace_from_value() {
        let a = HashKey::FIXED.profile_key(SandboxId::DEFAULT, "crm", "a1");
        let b = HashKey::FIXED.profile_key(SandboxId::DEFAULT, "crma", "1");
        let c = HashKey::FIXED.profile_key(SandboxId(1), "crm", "a1");
        assert!(a != b && a != c && b != c);
    }

    #[test]
    fn partitions_are_in_range_and_even() {
        let mut counts = [0u32; 7];
        for i in 0..7000 {
            let key = HashKey::FIXED.profile_key(SandboxId::DEFAULT, "crm", &i.to_string());
            counts[usize::from(key.partition(7).0)] += 1;
        }
        assert!(counts.iter().all(|n| (800..1200).contains(n)), "{counts:?}");
    }

    #[test]
    fn instants_read_and_print_iso() {
        let t = Millis::parse_iso("2019-11-01T17:59:13.273Z").expect("valid");
        assert_eq!(t.to_iso(), "2019-11-01T17:59:13.273Z");
        assert_eq!(Millis::parse_iso("1997-01-01").expect("date").to_iso(), "1997-01-01T00:00:00.000Z");
        assert_eq!(Millis::parse_iso("2019-11-01T17:59:13"), None);
    }
}
