//! Decides which groups count: puts the segments of a lane in order and follows the chain through them.
//!
//! Each start opens a segment whose header names the last *proven* group and says until where the unproven tail is
//! written anew. So segments form a tree in which each fork is the work of one start, and the branch of the younger
//! incarnation wins as soon as it holds all that it set out to rewrite. Until then it is ignored, and the old branch
//! counts; however many starts crash in a row, one of the branches holds the whole tail. Nothing that a start writes says
//! that a branch which lost is not needed before what won is written anew and synced: what won may never have reached the
//! disk.

use super::segment::Link;
use super::walk::Walked;
use crate::store::error::StoreError;

/// The groups that count, in order, and what else was found.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Segments with the groups that count, oldest first, without the groups that don't.
    pub live: Vec<Walked>,
    /// The last group that counts.
    pub last: Link,
    /// All up to this sequence is proven durable.
    pub proven: u64,
    /// Segments without a group that counts: interrupted rewrites, superseded rewrites, opened and never written.
    pub dead: Vec<Walked>,
    /// The oldest of the dead whose groups a younger segment holds as well. Until those that are not proven are written
    /// anew it is needed: the younger segment may be in the page cache alone.
    pub superseded: Option<u64>,
    /// Older than what is needed.
    pub stale: Vec<Walked>,
    /// The oldest needed segment, as the youngest statement has it.
    pub oldest: u64,
    /// The same by statements that are proven durable: what is older may be overwritten at once.
    pub released: u64,
}

impl Chain {
    /// Follows the chain.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where a segment or group is missing that was durable.
    pub(super) fn follow(mut segments: Vec<Walked>) -> Result<Self, StoreError> {
        segments.sort_by_key(|segment| segment.header.incarnation);
        for pair in segments.windows(2) {
            if pair[0].header.incarnation == pair[1].header.incarnation {
                let path = &pair[1].slot.path;
                return Err(StoreError::corrupt(path, 0, format!("the same segment as {}", pair[0].slot.path)));
            }
        }
        let stated = |segment: &Walked| {
            let groups = segment.groups.iter().map(|group| group.oldest).max().unwrap_or(0);
            groups.max(segment.header.oldest)
        };
        let oldest = segments.iter().map(stated).max().unwrap_or(0);
        let needed = segments.partition_point(|segment| segment.header.incarnation < oldest);
        let mut rest = segments.into_iter();
        let mut chain = Self { stale: rest.by_ref().take(needed).collect(), oldest, ..Self::default() };
        let Some(first) = rest.next() else { return Ok(chain) };
        if first.header.incarnation != oldest {
            let what = format!("the segment before it is missing (incarnation {oldest} of lane {})", first.header.lane);
            return Err(StoreError::corrupt(&first.slot.path, 0, what));
        }
        let base = first.header.previous;
        chain.extend(first);
        for segment in rest {
            chain.join(segment, base)?;
        }
        chain.conclude();
        Ok(chain)
    }

    fn extend(&mut self, segment: Walked) {
        let sequence = segment.last_sequence();
        self.last = segment.link(sequence).unwrap_or(segment.header.previous);
        self.live.push(segment);
    }

    /// Adds the next younger segment: as continuation, as the winning branch of a fork, or to the dead.
    fn join(&mut self, segment: Walked, base: Link) -> Result<(), StoreError> {
        let previous = segment.header.previous;
        if previous != base {
            self.require(&segment)?;
        }
        if previous != self.last && segment.last_sequence() < segment.header.rewritten_until {
            self.dead.push(segment);
            return Ok(());
        }
        while self.live.last().is_some_and(|last| last.header.previous.sequence >= previous.sequence) {
            let loser = self.live.pop();
            let incarnation = loser.iter().find(|loser| !loser.groups.is_empty()).map(|loser| loser.header.incarnation);
            self.superseded = self.superseded.into_iter().chain(incarnation).min();
            self.dead.extend(loser);
        }
        if let Some(holder) = self.live.last_mut() {
            holder.cut(previous.sequence);
        }
        self.extend(segment);
        Ok(())
    }

    /// The group that `segment` continues must be among those that count: it was durable.
    fn require(&self, segment: &Walked) -> Result<(), StoreError> {
        let previous = segment.header.previous;
        let of = |walked: &&Walked| walked.header.incarnation == previous.incarnation;
        let path = &segment.slot.path;
        if let Some(before) = self.live.iter().find(of) {
            return match before.link(previous.sequence) {
                Some(link) if link == previous => Ok(()),
                Some(_) => Err(StoreError::corrupt(path, 0, format!("it does not continue {}", before.slot.path))),
                None => Err(lost(before, previous.sequence, path)),
            };
        }
        if let Some(before) = self.dead.iter().find(of) {
            return Err(lost(before, previous.sequence, path));
        }
        let what = format!("the segment before it is missing (incarnation {})", previous.incarnation);
        Err(StoreError::corrupt(path, 0, what))
    }

    /// Drops empty groups from the end, and derives what is proven.
    fn conclude(&mut self) {
        let of_headers = self.live.iter().map(|segment| segment.header.previous.sequence).max();
        let of_groups = self.live.iter().map(|segment| segment.proven.min(self.last.sequence)).max();
        self.proven = of_headers.max(of_groups).unwrap_or(0);
        let proven = self.proven;
        self.released = 0;
        for segment in &self.live {
            let of_groups = segment.groups.iter().filter(|group| group.sequence <= proven).map(|group| group.oldest);
            // A header was synced before the first group behind it was written.
            let of_header = (!segment.groups.is_empty()).then_some(segment.header.oldest);
            self.released = of_groups.chain(of_header).fold(self.released, u64::max);
        }
        // End marks and other empty groups need no rewriting: the next segment is chained to the group before them.
        while self.last.sequence > proven && self.blocks_of(self.last.sequence) == Some(0) {
            let before = self.last.sequence - 1;
            let Some(link) = self.find(before) else { break };
            self.last = link;
        }
        let last = self.last.sequence;
        while self.live.last().is_some_and(|segment| segment.header.previous.sequence >= last) {
            self.dead.extend(self.live.pop());
        }
        if let Some(holder) = self.live.last_mut() {
            holder.cut(last);
        }
    }

    /// The last group that counts and has blocks, if it is still kept.
    pub(super) fn last_filled(&self) -> Option<u64> {
        let groups = self.live.iter().rev().flat_map(|segment| segment.groups.iter().rev());
        groups.filter(|group| group.blocks > 0).map(|group| group.sequence).next()
    }

    fn blocks_of(&self, sequence: u64) -> Option<u32> {
        let holder = self.live.iter().rev().find(|segment| segment.header.previous.sequence < sequence)?;
        let first = holder.groups.first()?.sequence;
        holder.groups.get((sequence - first) as usize).map(|group| group.blocks)
    }

    /// Names the group with this sequence among those that count, or the one before all of them.
    pub(super) fn find(&self, sequence: u64) -> Option<Link> {
        if sequence == self.last.sequence {
            return Some(self.last);
        }
        let holder = self.live.iter().rev().find(|segment| segment.header.previous.sequence < sequence);
        match holder {
            Some(segment) => segment.link(sequence),
            None => self.live.first().map(|first| first.header.previous).filter(|base| base.sequence == sequence),
        }
    }
}

fn lost(segment: &Walked, sequence: u64, continued_by: &str) -> StoreError {
    let what = format!(
        "the group here (sequence {}) does not hold, yet {continued_by} proves that group {sequence} was durable",
        segment.end_sequence + 1
    );
    StoreError::corrupt(&segment.slot.path, segment.end, what)
}
