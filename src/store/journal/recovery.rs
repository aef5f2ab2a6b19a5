//! Opens a lane: finds what was durable, writes the unproven tail anew into a fresh segment, frees the rest.
//!
//! Why rewrite what can be read: after `kill -9` it is read from the page cache, and after a failed sync a page can count
//! as clean that never reached the disk. Only what this process writes and syncs itself is known to be durable, and
//! nothing is shown to anyone before.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::block::Block;
use super::chain::Chain;
use super::group::{ALIGNMENT, padded};
use super::lane::{Lane, Room, State};
use super::ledger::{Held, Retired};
use super::marks::{MARKS_FILE, Marks};
use super::segment::{Link, Slot, lane_directory, slot_number};
use super::shared::LaneShared;
use super::tail::TailSegment;
use super::walk::{Found, GroupAt, Walked, read_file, read_group, refuse_old_header, search_behind};
use super::{JournalConfig, SpansOf};
use crate::planted::{Bug, is_planted};
use crate::store::disk::{Disk, join};
use crate::store::error::{JournalError, Operation, StoreError};

/// Room for groups in the small segment that a start makes do with on a full disk (bytes).
const LEAST_ROOM: u64 = 64 << 10;

/// A lane ready to write, and what it holds from before.
#[derive(Debug)]
pub(super) struct OpenedLane {
    pub lane: Lane,
    pub tail: Vec<TailSegment>,
}

/// Where a lane lives and how it is read.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub disk: Arc<dyn Disk>,
    pub config: JournalConfig,
    pub journal: u128,
    pub lane: u16,
    pub spans_of: SpansOf,
    pub marks: Arc<Marks>,
}

/// Opens a lane. When it returns, everything in the tail is durable.
pub(super) fn open_lane(source: &Source, shared: Arc<LaneShared>) -> Result<OpenedLane, StoreError> {
    let mut survey = Survey::of(source)?;
    let known = source.marks.known(source.lane);
    refuse_early_end(source, &survey.chain, known)?;
    let previous = survey.chain.find(survey.chain.proven).unwrap_or(survey.chain.last);
    let until = survey.chain.last;
    let mut tail = hold(source, &shared, &mut survey);
    let mut lane = Lane {
        disk: Arc::clone(&source.disk),
        config: source.config.clone(),
        journal: source.journal,
        lane: source.lane,
        shared,
        marks: Arc::clone(&source.marks),
        segment: None,
        last: previous,
        durable: previous.sequence,
        filled: survey.chain.last_filled().unwrap_or(known),
        released: survey.chain.released,
        stated: survey.chain.released,
        superseded: None,
        next_incarnation: survey.next_incarnation,
        next_slot: survey.next_slot,
        free: std::mem::take(&mut survey.free),
        state: State::Running,
        spare: None,
        buffer: Vec::new(),
    };
    if is_planted(Bug::TailNotRewritten) {
        lane.last = until;
        lane.durable = until.sequence;
        open_fresh(&mut lane, until)?;
    } else if is_planted(Bug::TailCutShort) {
        for segment in &mut tail {
            segment.groups.retain(|group| group.sequence <= previous.sequence);
        }
        open_fresh(&mut lane, previous)?;
    } else if until.sequence > previous.sequence {
        lane.superseded = survey.chain.superseded;
        rewrite(source, &mut lane, &mut tail, previous, until)?;
    } else {
        open_fresh(&mut lane, previous)?;
    }
    // Whatever is handed out is durable by now.
    lane.shared.filled.store(lane.filled, Ordering::Release);
    lane.shared.ledger.lock().settle();
    tail.retain(|segment| !segment.groups.is_empty());
    if lane.segment.is_some() {
        tidy(source, &survey)?;
    }
    Ok(OpenedLane { lane, tail })
}

/// Refuses a lane that ends before the group that was known to be durable: what is missing was damaged with all that
/// could tell, or taken away.
fn refuse_early_end(source: &Source, chain: &Chain, known: u64) -> Result<(), StoreError> {
    let found = chain.last.sequence;
    if found >= known {
        return Ok(());
    }
    let end = chain.live.last().map(|segment| (segment.slot.path.clone(), segment.end));
    let (path, offset) = end.unwrap_or_else(|| (lane_directory(source.lane), 0));
    let what = format!(
        "the journal ends here with group {found}, yet {MARKS_FILE} says that all up to {known} was durable: what \
         followed is damaged or missing (to start without it, and lose it, remove {MARKS_FILE})"
    );
    Err(StoreError::corrupt(&path, offset, what))
}

/// What stands in a lane's directory.
#[derive(Debug)]
struct Survey {
    chain: Chain,
    /// May be overwritten at once.
    free: Vec<Slot>,
    /// To be deleted once the new segment is durable.
    doomed: Vec<Slot>,
    next_incarnation: u64,
    next_slot: u64,
}

impl Survey {
    fn of(source: &Source) -> Result<Self, StoreError> {
        let Source { disk, journal, lane, spans_of, .. } = source;
        let directory = lane_directory(*lane);
        let failed = |error| StoreError::io(Operation::Directory, &directory, error);
        disk.create_dir(&directory).map_err(failed)?;
        // ORDER: a killed process may have left files whose entries no sync covers; they are written to below.
        disk.sync_dir(&directory).map_err(failed)?;
        let (mut segments, mut free, mut headless) = (Vec::new(), Vec::new(), Vec::new());
        let mut next_slot = 1;
        for name in disk.list(&directory).map_err(failed)? {
            let Some(number) = slot_number(&name) else { continue };
            next_slot = next_slot.max(number + 1);
            match read_file(disk, &join(&directory, &name), *journal, *lane, *spans_of)? {
                Found::Segment(walked) => segments.push(walked),
                Found::Spare(slot) => free.push(slot),
                Found::Headless { slot, youngest_group } => headless.push((slot, youngest_group)),
            }
        }
        let youngest = segments.iter().max_by_key(|segment| segment.header.incarnation);
        if let Some(youngest) = youngest {
            search_behind(disk, youngest)?;
        }
        for segment in &segments {
            refuse_old_header(disk, segment)?;
        }
        let incarnations = segments.iter().map(|segment| segment.header.incarnation);
        let seen = incarnations.chain(headless.iter().map(|(_, youngest)| *youngest)).max().unwrap_or(0);
        let chain = Chain::follow(segments);
        // A headless file explains a missing segment better than the gap does.
        let needed_from = chain.as_ref().map_or(1, |chain| chain.oldest.max(1));
        if let Some((slot, youngest)) = headless.iter().find(|(_, youngest)| *youngest >= needed_from) {
            let what =
                format!("the header of this segment does not hold, yet groups of incarnation {youngest} follow it");
            return Err(StoreError::corrupt(&slot.path, 0, what));
        }
        // Half-made files: nobody knows how much of their space is taken.
        let doomed = headless.into_iter().map(|(slot, _)| slot).collect();
        let survey = Self { chain: chain?, free, doomed, next_incarnation: seen + 1, next_slot };
        survey.sort_dead(disk)
    }

    fn sort_dead(mut self, disk: &Arc<dyn Disk>) -> Result<Self, StoreError> {
        for dead in &self.chain.dead {
            let behind = search_behind(disk, dead)?;
            // A segment that was never written may be overwritten. One with groups is deleted instead: would a crash
            // tear its new header, those groups would look like a segment that lost its header.
            if dead.groups.is_empty() && behind.groups == 0 {
                self.free.push(dead.slot.clone());
            } else {
                self.doomed.push(dead.slot.clone());
            }
        }
        let released = self.chain.released;
        for stale in self.chain.stale.iter().filter(|stale| stale.header.incarnation < released) {
            self.free.push(stale.slot.clone());
        }
        Ok(self)
    }
}

/// Puts what is kept into the ledger. Groups after the proven one are left to the rewrite.
fn hold(source: &Source, shared: &LaneShared, survey: &mut Survey) -> Vec<TailSegment> {
    let mut tail = Vec::new();
    let mut ledger = shared.ledger.lock();
    let Chain { live, stale, proven, released, .. } = &mut survey.chain;
    let count = live.len();
    for (index, walked) in live.iter_mut().enumerate() {
        let groups = walked.groups.clone();
        let incarnation = walked.header.incarnation;
        let (path, bytes) = (walked.slot.path.clone(), walked.slot.bytes);
        tail.push(TailSegment { lane: source.lane, incarnation, path, bytes, groups });
        let kept = walked.groups.iter().filter(|group| group.sequence <= *proven);
        let used = kept.map(|group| padded(u64::from(group.length))).sum();
        let mut slot = walked.slot.clone();
        if index + 1 == count && cut_pays(walked) {
            slot.bytes = walked.end;
        }
        ledger.add(Held { slot, incarnation, used, spans: walked.spans_until(*proven) });
    }
    for stale in stale.iter().filter(|stale| stale.header.incarnation >= *released) {
        ledger.add_retired(Retired { slot: stale.slot.clone(), incarnation: stale.header.incarnation });
    }
    tail
}

/// Whether a segment that an earlier start has left half empty is worth cutting: each start opens another one.
fn cut_pays(walked: &Walked) -> bool {
    walked.end < walked.slot.bytes / 2
}

/// Opens a segment for new groups. A disk without room for one is no error: the lane refuses groups until there is.
fn open_fresh(lane: &mut Lane, previous: Link) -> Result<(), StoreError> {
    let until = previous.sequence;
    let whole = lane.open_segment(ALIGNMENT, until, previous, Room::Whole);
    let opened = match whole {
        Err(JournalError::DiskFull) => lane.open_segment(LEAST_ROOM, until, previous, Room::Least),
        whole => whole,
    };
    match opened {
        Ok(()) | Err(JournalError::DiskFull) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes the groups after `previous` up to `until` anew and syncs them.
fn rewrite(
    source: &Source,
    lane: &mut Lane,
    tail: &mut Vec<TailSegment>,
    previous: Link,
    until: Link,
) -> Result<(), StoreError> {
    let unproven = |group: &&GroupAt| group.sequence > previous.sequence;
    let groups = tail.iter().flat_map(|segment| segment.groups.iter()).filter(unproven);
    let bytes: u64 = groups.map(|group| padded(u64::from(group.length))).sum();
    // The whole rewrite fits one segment, made larger where needed: so one file tells whether it is complete.
    match lane.open_segment(bytes, until.sequence, previous, Room::Whole) {
        Err(JournalError::DiskFull) => lane.open_segment(bytes, until.sequence, previous, Room::Least)?,
        opened => opened?,
    }
    let mut rewritten = Vec::new();
    for segment in tail.iter_mut() {
        let first = segment.groups.partition_point(|group| group.sequence <= previous.sequence);
        for group in segment.groups.split_off(first) {
            let blocks = read_blocks(source, segment, &group)?;
            let position = lane.append(&blocks, 0)?;
            rewritten.push(GroupAt { offset: position.offset, checksum: lane.last.checksum, ..group });
        }
    }
    // ORDER: nobody may see these records before this sync; and until it the old ones count, so no header or group may
    // have stated that the segments they are in are not needed: those retire afterwards.
    lane.sync_always()?;
    if lane.superseded.take().is_some() {
        // ORDER: those branches are deleted by and by; first a durable word that none of them is needed.
        lane.append(&[], 0)?;
        lane.sync_always()?;
    }
    let open = lane.segment.as_ref().expect("it was opened above");
    tail.push(TailSegment {
        lane: source.lane,
        incarnation: open.incarnation,
        path: open.slot.path.clone(),
        bytes: open.slot.bytes,
        groups: rewritten,
    });
    Ok(())
}

fn read_blocks(source: &Source, segment: &TailSegment, group: &GroupAt) -> Result<Vec<Block>, StoreError> {
    let path = &segment.path;
    let failed = |operation| move |error| StoreError::io(operation, path, error);
    let file = source.disk.open_read(path).map_err(failed(Operation::Open))?;
    let mut buffer = Vec::new();
    let parsed = read_group(&*file, group.offset, segment.bytes, source.journal, &mut buffer)
        .map_err(failed(Operation::Read))?
        .ok_or_else(|| StoreError::corrupt(path, group.offset, "the group here held a moment ago"))?;
    let block = |entry| {
        let bytes = parsed.block(&buffer, entry).expect("read_group has checked the blocks").to_vec();
        let spans = (source.spans_of)(&bytes);
        let (shard, number, checksum) = (entry.shard, entry.number, entry.checksum);
        Block { shard, number, lane: source.lane, bytes, spans, checksum }
    };
    Ok(parsed.entries.iter().map(block).collect())
}

/// Deletes dead segments and cuts a half-empty one. The new segment is durable by now, so a crash changes nothing.
fn tidy(source: &Source, survey: &Survey) -> Result<(), StoreError> {
    for slot in &survey.doomed {
        source.disk.remove(&slot.path).map_err(|error| StoreError::io(Operation::Directory, &slot.path, error))?;
    }
    if let Some(last) = survey.chain.live.last().filter(|last| cut_pays(last)) {
        let cut = source.disk.open_write(&last.slot.path).and_then(|mut file| file.set_len(last.end));
        cut.map_err(|error| StoreError::io(Operation::Write, &last.slot.path, error))?;
    }
    Ok(())
}
