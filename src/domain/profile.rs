//! A profile while its actor is awake: everything `apply` may read or change, and which parts it changed.
//!
//! Between inputs a profile is passivated: a hot row (instances' positions) and a cold record (identity, document,
//! contexts) in its partition. INVARIANT: at most one instance per journey, over all its versions (spec §2.1).

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::domain::effect::CallStatus;
use crate::domain::ids::{JourneyId, Millis, NodeNo, ProfileKey, VersionId};
use crate::domain::step::Failure;
use crate::domain::value::Map;

/// One profile, awake.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Its key.
    pub key: ProfileKey,
    /// `namespace:value`.
    pub identity: SmolStr,
    /// Its document.
    pub document: Map,
    /// Its running instances, in the order they entered.
    pub instances: SmallVec<[Instance; 2]>,
    /// Latest entry into each journey, for re-entrance.
    pub last_entries: Vec<LastEntry>,
    /// Entries by rule set, of those that count them.
    pub caps: Vec<CapCount>,
    /// Entries so far, over all journeys: the next instance's ordinal is one more.
    pub entries: u32,
    /// The chain of decisions (design §9); 0 before the first.
    pub chain: u64,
    /// What changed since it woke.
    pub changes: Changes,
}

/// The latest entry into a journey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEntry {
    /// The journey.
    pub journey: JourneyId,
    /// The supplemental id it was under; each counts for itself (spec §1.7).
    pub supplemental_id: Option<SmolStr>,
    /// When.
    pub at: Millis,
}

/// How often a profile entered journeys of a rule set in a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapCount {
    /// The rule set.
    pub rule_set: SmolStr,
    /// When the period began.
    pub since: Millis,
    /// How often.
    pub entries: u32,
}

/// One running instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The version it is in: the one it entered, unless a newer one has moved it.
    pub version: VersionId,
    /// Its journey.
    pub journey: JourneyId,
    /// Where it waits.
    pub node: NodeNo,
    /// One more at every move: a timer counts only if it names this.
    pub generation: u32,
    /// Engine time of its entry.
    pub entered_at: Millis,
    /// When its next timer fires: the node's or the journey's timeout, whichever is first.
    pub due: Millis,
    /// Which of the two that is. At the very same instant it is the node's (contract, "Resources").
    pub due_kind: DueKind,
    /// Which entry of the profile it is, from 1.
    pub ordinal: u32,
    /// Messages decided so far.
    pub sends: u16,
    /// Its memory.
    pub context: Context,
}

/// What an instance's next timer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueKind {
    /// The node's wait or event timeout ends, or a parked message tries again.
    Node,
    /// The journey's global timeout, or its end date, ends the instance.
    Timeout,
}

/// What an instance remembers of its events, cut down to what its program reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// Kept properties of the entry event.
    pub event: Map,
    /// Kept properties of the latest event it received; `None` while that is the entry event.
    pub last: Option<Map>,
    /// Id of the entry event.
    pub event_id: SmolStr,
    /// Type of the entry event.
    pub event_type: SmolStr,
    /// Time of the entry event.
    pub event_time: Millis,
    /// Visits of nodes on cycles.
    pub visits: SmallVec<[(NodeNo, u16); 2]>,
    /// What few instances need to remember.
    pub extra: Option<Box<Extra>>,
}

/// What an instance remembers beside its events, in journeys that ask for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extra {
    /// Which of several racing waits ends first: its number among the ways of the node.
    pub arm: Option<u16>,
    /// Kept properties of events that came before their nodes were reached, by slot; the latest of each, in the order they
    /// first came.
    pub heard: Vec<(u16, Map)>,
    /// The latest message of each followed node: its send ordinal.
    pub sent: Vec<(NodeNo, u16)>,
    /// The supplemental id it runs under.
    pub supplemental_id: Option<SmolStr>,
    /// The node it came from, where something reads it.
    pub previous_node: Option<NodeNo>,
    /// Where and how it failed last and went on, where something reads it.
    pub error: Option<(NodeNo, Failure)>,
    /// What custom actions answered last, by their names: the fields that are read, and the status.
    pub called: Map,
    /// How its calls of custom actions went, as far as something reads it.
    pub action: LastCall,
    /// How its questions to data sources went, likewise.
    pub source: LastCall,
    /// Whether a pause holds it.
    pub held: Option<Held>,
    /// Kept properties of events that came while it was held, by the node that awaits them and the way they lead.
    pub kept: Vec<(NodeNo, u16, Map)>,
    /// The number of the last pause by which its timers were shifted.
    pub shifted: u32,
    /// When it came to the node where it pauses, if that node's timer does not tell; else of a node before.
    pub came_at: Option<Millis>,
    /// The newest version that was asked what becomes of it, and keeps it.
    pub settled: Option<VersionId>,
}

/// How the calls of an instance went (spec §5.5): of custom actions, or of data sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastCall {
    /// How the latest of those that failed had ended.
    pub error: Option<CallStatus>,
    /// How long the latest took, in milliseconds of engine time: from its decision until its answer counted.
    pub took_ms: Option<i64>,
}

/// Since when a pause holds an instance, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Since when.
    pub since: Millis,
    /// Where.
    pub at: HeldAt,
}

/// Where a pause holds an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldAt {
    /// At the node that acts.
    Node,
    /// Before its beginning: it has entered when it is let in. It remembers the whole event.
    Entrance,
}

impl Instance {
    /// Whether a pause holds it.
    pub fn held(&self) -> Option<Held> {
        self.context.extra.as_ref()?.held
    }

    /// Events that came while a pause held it, and are kept: the node that awaits each, the way it leads, its properties.
    pub fn kept_events(&self) -> &[(NodeNo, u16, Map)] {
        self.context.extra.as_ref().map_or(&[], |extra| extra.kept.as_slice())
    }

    /// Whether it has not begun.
    pub fn is_entrant(&self) -> bool {
        self.held().is_some_and(|held| held.at == HeldAt::Entrance)
    }

    /// The supplemental id it runs under.
    pub fn supplemental_id(&self) -> Option<&str> {
        self.context.extra.as_ref()?.supplemental_id.as_deref()
    }
}

impl Context {
    /// What it remembers beside its events, to be changed.
    pub fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// What custom actions answered.
    pub fn called(&self) -> &Map {
        self.extra.as_ref().map_or(Map::EMPTY, |extra| &extra.called)
    }

    /// The send ordinal of the latest message of a followed node.
    pub fn sent_at(&self, node: NodeNo) -> Option<u16> {
        let sent = &self.extra.as_ref()?.sent;
        sent.iter().find(|(known, _)| *known == node).map(|(_, ordinal)| *ordinal)
    }
}

/// Which components of a profile changed: each becomes an absolute image in the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Identity, last entries or entry count.
    pub header: bool,
    /// The chain of decisions.
    pub chain: bool,
    /// Top-level fields of the document that were set or deleted.
    pub fields: Vec<SmolStr>,
    /// Ordinals of instances whose position changed, or that are new or gone.
    pub instances: SmallVec<[u32; 2]>,
    /// Ordinals of instances whose context changed.
    pub contexts: SmallVec<[u32; 2]>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        !self.header && !self.chain && self.fields.is_empty() && self.instances.is_empty() && self.contexts.is_empty()
    }

    /// Forgets all of it, keeping the memory.
    pub fn clear(&mut self) {
        self.header = false;
        self.chain = false;
        self.fields.clear();
        self.instances.clear();
        self.contexts.clear();
    }

    /// Notes that the instance `ordinal` moved, came or went.
    pub fn instance(&mut self, ordinal: u32) {
        if !self.instances.contains(&ordinal) {
            self.instances.push(ordinal);
        }
    }

    /// Notes that the memory of the instance `ordinal` changed.
    pub fn context(&mut self, ordinal: u32) {
        if !self.contexts.contains(&ordinal) {
            self.contexts.push(ordinal);
        }
    }
}

impl Profile {
    /// A profile never seen before.
    pub fn new(key: ProfileKey, identity: SmolStr) -> Self {
        Self {
            key,
            identity,
            document: Map::new(),
            instances: SmallVec::new(),
            last_entries: Vec::new(),
            caps: Vec::new(),
            entries: 0,
            chain: 0,
            changes: Changes { header: true, ..Changes::default() },
        }
    }

    /// The earliest timer of its instances.
    pub fn next_due(&self) -> Millis {
        self.instances.iter().map(|i| i.due).min().unwrap_or(Millis::NEVER)
    }

    /// Where `journey` runs for this profile under a supplemental id, or without one.
    pub fn running(&self, journey: JourneyId, supplemental_id: Option<&str>) -> Option<&Instance> {
        self.instances.iter().find(|i| i.journey == journey && i.supplemental_id() == supplemental_id)
    }

    /// The latest entry into `journey` under a supplemental id, or without one.
    pub fn last_entry(&self, journey: JourneyId, supplemental_id: Option<&str>) -> Option<Millis> {
        let is_same = |e: &&LastEntry| e.journey == journey && e.supplemental_id.as_deref() == supplemental_id;
        self.last_entries.iter().find(is_same).map(|entry| entry.at)
    }
}
