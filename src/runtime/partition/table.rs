//! The table of a partition's profiles: a row each, in pages that snapshots copy on write.
//!
//! A profile is awake only while an input is handled: [`Table::wake`] decodes it, [`Table::store`] passivates it
//! again. Rows keep their slot for life, so that pages are stable. Must never be iterated in hash order.

use hashbrown::HashTable;

use crate::domain::ids::ProfileKey;
use crate::domain::profile::{Changes, Profile};
use crate::planted::{Bug, is_planted};
use crate::store::timers::TimerEntry;
use crate::wire::asleep::{self, Place, Places, put_places, put_rest};
use crate::wire::component::{blank, blank_profile};
use crate::wire::cursor::{Cursor, WireError, put_bytes};

/// Rows of one page: small enough that copying one before a write is no pause, large enough that a page is worth a write.
pub const PAGE_ROWS: usize = 256;

#[derive(Debug)]
struct Row {
    key: ProfileKey,
    /// The profile asleep. INVARIANT: it was encoded here or read once, so it can be read.
    asleep: Box<[u8]>,
}

const READABLE: &str = "rows are encoded here, or read when they are installed";

impl Row {
    fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let mut places = Places::of(&self.asleep).expect(READABLE);
        std::iter::from_fn(move || places.next_place().expect(READABLE))
    }

    fn place_count(&self) -> usize {
        Places::of(&self.asleep).expect(READABLE).left() as usize
    }
}

/// Rows by slot, a page at a time: one long list would be up to half empty, and copied whole when it grows.
#[derive(Debug, Default)]
struct Rows {
    /// INVARIANT: all but the last are full.
    pages: Vec<Vec<Row>>,
}

impl Rows {
    fn len(&self) -> usize {
        self.pages.last().map_or(0, |last| (self.pages.len() - 1) * PAGE_ROWS + last.len())
    }

    fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    fn at(&self, slot: u32) -> &Row {
        &self.pages[slot as usize / PAGE_ROWS][slot as usize % PAGE_ROWS]
    }

    fn at_mut(&mut self, slot: u32) -> &mut Row {
        &mut self.pages[slot as usize / PAGE_ROWS][slot as usize % PAGE_ROWS]
    }

    fn push(&mut self, row: Row) {
        match self.pages.last_mut() {
            Some(page) if page.len() < PAGE_ROWS => page.push(row),
            _ => {
                // Small partitions are many: only a second page begins at full size.
                let room = if self.pages.is_empty() { 4 } else { PAGE_ROWS };
                let mut page = Vec::with_capacity(room);
                page.push(row);
                self.pages.push(page);
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Row> {
        self.pages.iter().flatten()
    }
}

/// The place of a profile in its table, for life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

/// How much of a profile is to be written anew.
#[derive(Clone, Copy, Debug)]
pub enum Rewrite<'a> {
    /// All of it.
    Whole,
    /// What these touch.
    Changed(&'a Changes),
}

/// Pages still to be copied at a cut.
#[derive(Debug)]
struct Capture {
    pending: Vec<bool>,
    next: usize,
    copied: Vec<(u32, Vec<u8>)>,
}

/// The profiles of one partition.
#[derive(Debug, Default)]
pub struct Table {
    index: HashTable<u32>,
    rows: Rows,
    dirty: Vec<bool>,
    capture: Option<Capture>,
    timer_count: usize,
    scratch: Vec<u8>,
}

fn bucket(key: ProfileKey) -> u64 {
    // The key is a keyed hash already; its low half is independent of the partition's bits.
    key.0 as u64
}

impl Table {
    /// Profiles held.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Timers of all rows: one for each instance.
    pub fn timer_count(&self) -> usize {
        self.timer_count
    }

    fn slot(&self, key: ProfileKey) -> Option<u32> {
        self.index.find(bucket(key), |&slot| self.rows.at(slot).key == key).copied()
    }

    /// Whether the profile is known.
    pub fn contains(&self, key: ProfileKey) -> bool {
        self.slot(key).is_some()
    }

    /// Where the profile is.
    pub fn find(&self, key: ProfileKey) -> Option<Slot> {
        self.slot(key).map(Slot)
    }

    /// A byte of the profile asleep, to have it near.
    pub fn first_byte(&self, slot: Slot) -> u8 {
        self.rows.at(slot.0).asleep.first().copied().unwrap_or_default()
    }

    /// The profile, awake; `None` if never seen. Errors only on a corrupt row.
    pub fn wake(&self, key: ProfileKey) -> Result<Option<Profile>, WireError> {
        let Some(slot) = self.find(key) else { return Ok(None) };
        let mut profile = blank_profile(key);
        self.wake_into(slot, &mut profile)?;
        Ok(Some(profile))
    }

    /// Makes `profile` the one at `slot`, awake. Errors only on a corrupt row.
    pub fn wake_into(&self, slot: Slot, profile: &mut Profile) -> Result<(), WireError> {
        let row = self.rows.at(slot.0);
        blank(profile, row.key);
        asleep::wake(profile, &row.asleep)
    }

    /// Puts `profile` to sleep as it is now. `slot` is where it was found.
    pub fn store(&mut self, slot: Option<Slot>, profile: &Profile, rewrite: Rewrite<'_>) {
        self.timer_count += profile.instances.len();
        self.scratch.clear();
        put_places(&mut self.scratch, profile);
        let Some(Slot(slot)) = slot else {
            put_rest(&mut self.scratch, profile);
            let asleep = self.scratch.as_slice().into();
            self.insert(Row { key: profile.key, asleep });
            return;
        };
        self.touch(slot);
        let row = self.rows.at_mut(slot);
        self.timer_count -= row.place_count();
        match untouched_rest(rewrite, row, profile) {
            Some(rest) => self.scratch.extend_from_slice(rest),
            None => put_rest(&mut self.scratch, profile),
        }
        if row.asleep.len() == self.scratch.len() {
            row.asleep.copy_from_slice(&self.scratch);
        } else {
            row.asleep = self.scratch.as_slice().into();
        }
    }

    fn insert(&mut self, row: Row) {
        let slot = self.rows.len() as u32;
        let key = row.key;
        if self.rows.len().is_multiple_of(PAGE_ROWS) {
            // A page begun after the cut is not part of it: the capture knows only pages that were there.
            self.dirty.push(true);
        } else if is_planted(Bug::NewRowsNotDirty) {
            self.copy_page(slot as usize / PAGE_ROWS);
        } else {
            self.touch(slot - 1);
        }
        self.rows.push(row);
        let rows = &self.rows;
        self.index.insert_unique(bucket(key), slot, |&slot| bucket(rows.at(slot).key));
    }

    /// Before a row changes: its page is copied for the cut in progress, and due for the next one.
    fn touch(&mut self, slot: u32) {
        let page = slot as usize / PAGE_ROWS;
        if !is_planted(Bug::PageNotCopied) {
            self.copy_page(page);
        }
        self.dirty[page] = true;
    }

    fn copy_page(&mut self, page: usize) {
        let Some(capture) = &mut self.capture else { return };
        if !capture.pending.get(page).copied().unwrap_or(false) {
            return;
        }
        capture.pending[page] = false;
        let bytes = encode_page(&self.rows.pages[page]);
        capture.copied.push((page as u32, bytes));
    }

    /// Begins a cut: the pages dirty now will be copied as they are now. `Whole` copies all.
    pub fn begin_capture(&mut self, extent: Extent) {
        assert!(self.capture.is_none(), "one cut at a time");
        let pending = match extent {
            Extent::Whole => vec![true; self.dirty.len()],
            Extent::Dirty => self.dirty.clone(),
        };
        self.dirty.fill(false);
        self.capture = Some(Capture { pending, next: 0, copied: Vec::new() });
    }

    /// Copies up to `pages_max` more pages of the cut into `out`; whether the cut is complete.
    pub fn capture_some(&mut self, pages_max: usize, out: &mut Vec<(u32, Vec<u8>)>) -> bool {
        for _ in 0..pages_max {
            let Some(capture) = &mut self.capture else { return true };
            let Some(offset) = capture.pending[capture.next..].iter().position(|p| *p) else {
                capture.next = capture.pending.len();
                break;
            };
            let page = capture.next + offset;
            capture.next = page + 1;
            self.copy_page(page);
        }
        let Some(capture) = &mut self.capture else { return true };
        out.append(&mut capture.copied);
        let complete = !capture.pending.iter().skip(capture.next).any(|p| *p);
        if complete {
            self.capture = None;
        }
        complete
    }

    /// After a snapshot failed: its pages are due again.
    pub fn mark_all_dirty(&mut self) {
        self.capture = None;
        if !is_planted(Bug::FailedCutForgotten) {
            self.dirty.fill(true);
        }
    }

    /// Installs a page of a snapshot. Pages come in ascending order. `check` sees every profile first.
    pub fn install_page(
        &mut self,
        page: u32,
        bytes: &[u8],
        check: impl Fn(&Profile) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let expected = page as usize * PAGE_ROWS;
        if expected != self.rows.len() {
            return Err(WireError::invalid("page", format!("page {page} after {} rows", self.rows.len())));
        }
        let mut cursor = Cursor::new(bytes);
        let mut profile = blank_profile(ProfileKey::default());
        while !cursor.is_empty() {
            let key = ProfileKey(cursor.u128("profile key")?);
            let asleep = cursor.bytes("profile")?;
            // Read once, so that what is corrupt is found here and not when the profile wakes.
            blank(&mut profile, key);
            asleep::wake(&mut profile, asleep)?;
            check(&profile)?;
            if self.contains(key) {
                return Err(WireError::invalid("page", format!("profile {:032x} is there twice", key.0)));
            }
            self.timer_count += profile.instances.len();
            self.insert(Row { key, asleep: asleep.into() });
        }
        let rows = self.rows.len() - expected;
        if !(1..=PAGE_ROWS).contains(&rows) {
            return Err(WireError::invalid("page", format!("page {page} holds {rows} rows")));
        }
        self.dirty[page as usize] = false;
        Ok(())
    }

    /// Every timer, in slot order.
    pub fn timers(&self) -> impl Iterator<Item = TimerEntry> + '_ {
        self.rows.iter().flat_map(|row| {
            row.places().map(|p| TimerEntry { key: row.key, ordinal: p.ordinal, generation: p.generation, due: p.due })
        })
    }

    /// Whether the row still names this timer (design §5: instance, generation *and* due).
    pub fn names(&self, timer: &TimerEntry) -> bool {
        self.named(timer).is_some()
    }

    /// Where the profile is, if its row still names this timer.
    pub fn named(&self, timer: &TimerEntry) -> Option<Slot> {
        let slot = self.slot(timer.key)?;
        let names = |p: Place| p.ordinal == timer.ordinal && p.generation == timer.generation && p.due == timer.due;
        self.rows.at(slot).places().any(names).then_some(Slot(slot))
    }

    /// Keys of profiles from slot `from` on with an instance at a place that is `wanted`, at most `max` rows looked at;
    /// and the slot to go on from, `None` at the end.
    pub fn inside(
        &self,
        wanted: &dyn Fn(&Place) -> bool,
        from: usize,
        max: usize,
        out: &mut Vec<ProfileKey>,
    ) -> Option<usize> {
        let end = self.rows.len().min(from + max);
        for row in (from..end).map(|slot| self.rows.at(slot as u32)) {
            if row.places().any(|place| wanted(&place)) {
                out.push(row.key);
            }
        }
        (end < self.rows.len()).then_some(end)
    }

    /// Keys of all profiles, in slot order.
    pub fn keys(&self) -> impl Iterator<Item = ProfileKey> + '_ {
        self.rows.iter().map(|row| row.key)
    }

    /// Every profile, awake, in slot order: for checks and exports.
    pub fn profiles(&self) -> impl Iterator<Item = Result<Profile, WireError>> + '_ {
        (0..self.rows.len() as u32).map(|slot| {
            let mut profile = blank_profile(self.rows.at(slot).key);
            self.wake_into(Slot(slot), &mut profile).map(|()| profile)
        })
    }
}

/// What a cut copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Every page.
    Whole,
    /// Pages changed since the last cut.
    Dirty,
}

/// What of the row is behind its places, if that stays as it is: a context goes with its instance.
fn untouched_rest<'a>(rewrite: Rewrite<'_>, row: &'a Row, profile: &Profile) -> Option<&'a [u8]> {
    let Rewrite::Changed(changes) = rewrite else { return None };
    if changes.header || !changes.fields.is_empty() || !changes.contexts.is_empty() {
        return None;
    }
    let mut places = Places::of(&row.asleep).expect(READABLE);
    if places.left() != profile.instances.len() as u64 {
        return None;
    }
    for instance in &profile.instances {
        if places.next_place().expect(READABLE)?.ordinal != instance.ordinal {
            return None;
        }
    }
    Some(places.rest().expect(READABLE))
}

fn encode_page(rows: &[Row]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.iter().map(|row| 16 + 2 + row.asleep.len()).sum());
    for row in rows {
        out.extend_from_slice(&row.key.0.to_le_bytes());
        put_bytes(&mut out, &row.asleep);
    }
    out
}
