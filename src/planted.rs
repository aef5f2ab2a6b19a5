//! Bugs that can be planted (feature `planted-bugs`): known mistakes at real places of the engine, one of which can be
//! switched on at run time, to see whether the simulator finds it. Without the feature [`is_planted`] is a constant
//! `false`, and nothing of this is in the program. The lowest layer: every other may ask, it knows none.

/// Lists bugs once: variant, and what is wrong.
macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident: $text:literal,)+) => {
        /// A bug that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug {
            $(#[doc = $text] $name,)+
        }

        impl Bug {
            /// Every bug.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// What is wrong with it on.
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

bugs! {
    GroupNotSynced: "a group counts as durable before its sync",
    SyncRetried: "a failed sync is tried again, and believed",
    SegmentNotLinked: "a new segment's directory entry is not synced",
    HeaderNotSynced: "groups are written behind a segment's header before that is synced",
    ShortWriteTaken: "a write that took a part of its bytes counts as done",
    DamageTakenForEnd: "a damaged group that was durable is taken for a torn end",
    SnapshotsNotChecked: "the checksums of a snapshot's sections are not compared",
    IncarnationReused: "a segment is used again under the same incarnation",
    TailNotRewritten: "a start shows the unproven tail without writing it anew",
    TailCutShort: "a start takes the last proven group for the last one",
    BlocksNotChecked: "the checksums of blocks are not compared",
    RecycledTooEarly: "the journal is recycled up to the newer snapshot",
    SnapshotNotSynced: "a snapshot is published before its bytes are synced",
    SnapshotNotLinked: "a snapshot is published before its directory entry is synced",
    SnapshotAheadOfJournal: "a snapshot is published before the journal is durable past its cut",
    NewRowsNotDirty: "a new row on an existing page is not in the next delta",
    PageNotCopied: "a page of a cut is not copied before a row in it changes",
    FailedCutForgotten: "pages of a failed checkpoint are not due again",
    CutLeftHalfCopied: "a partition moves while its cut is half copied",
    ReplayCountsTwice: "records that the snapshot holds are installed again",
    IdsNotInSnapshot: "ids of events are not in the snapshot",
    OutboxNotInSnapshot: "open deliveries are not in the snapshot",
    CountersNotInSnapshot: "counters are not in the snapshot",
    EpochNotInSnapshot: "the ownership epoch is not in the snapshot",
    WatermarkNotRaised: "a producer's watermark stays at its first sequence",
    SequenceOffByOne: "the last sequence of a producer is taken for new",
    IdForgottenEarly: "ids are known one millisecond too short",
    AcknowledgedWhenDecided: "events are acknowledged when decided",
    RepeatAcknowledgedEarly: "a repeat is acknowledged, and a reader answered, before what they saw is durable",
    OfferedWhenDecided: "a delivery is offered before its decision is durable",
    RowGoneWhenOffered: "a delivery leaves the outbox when a channel takes it",
    AttemptNotJournaled: "a started attempt is not journaled",
    DoubtSentAgain: "an attempt without a result is offered as if there had been none",
    DoubtOffered: "a delivery in doubt is offered without a decision",
    KeyChangesWithAttempt: "a delivery that is offered again has another key",
    ContentNotFrozen: "a message is rendered from what is known when it is offered",
    OutboxForgottenAtStart: "deliveries open at a start are not offered again",
    OutboxForgottenAtMove: "deliveries decided before a move are not offered by the next owner",
    BatchToldEarly: "a batch of reports counts as durable with its first part",
    ReportCountedTwice: "a report is counted twice",
    ExitKeepsMessages: "an early exit does not take its messages back",
    ExitKeepsInstance: "an exit criterion leaves the instance where it is",
    OthersStay: "an exit criterion by what the profile is ends one of several instances",
    ReentryFromExit: "re-entrance counts from the exit",
    ReentryOffByOne: "re-entrance opens one millisecond late",
    TimersInWrongOrder: "timers due together fire in the wrong order",
    EventBeforeTimers: "an event is handled before the timers that are due",
    ExitAfterAwaited: "an awaiting node gets an event before the exit criteria",
    DueIgnored: "a timer may fire up to 999 ms early",
    StaleTimerFires: "a timer of an earlier generation fires",
    TimerLostAtSlotStart: "a timer due in the first minute of a slot is not kept",
    IndexLossUnnoticed: "what the timer index has lost is not noticed",
    InFlightForgotten: "a slot opened during a checkpoint misses what the checkpoint holds",
    HeardForgotten: "what came before its node was reached is not kept",
    HeardForEver: "what came before a message still counts as since the last one",
    FeedbackOnAnything: "feedback on one message counts for every other",
    RaceWonByLast: "of waits that race, the last to end wins",
    CallErrorIgnored: "a call that ended in an error takes the good way",
    CallTimedFromEntry: "how long a call took counts from the entry",
    ThrottlingNotFollowed: "calls are handed over with a throttling that is no longer deployed",
    SourceNotKept: "what a data source said is not kept",
    LookupNotKept: "what was looked up is not kept",
    AnswerNotKept: "what an action answered is not kept",
    AnsweredTooLate: "a timer that an answer set in a slot that time has come to is not looked for",
    ParkedForgotten: "a message that found no room is not tried again",
    TimeGoesBack: "engine time follows the clock backwards",
    CatalogToldEarly: "a catalog counts as published before it is durable",
    MovedToNewVersion: "running instances move to the newest version",
    StoppedNotSwept: "instances of a stopped version stay until their next event",
    SweepForgottenAtStart: "a sweep that a crash cut short is not taken up again",
    MovedTooEarly: "a partition moves before its last block is with the journal",
    EpochNotJournaled: "a new owner writes no record of its ownership",
    SeatReordered: "events that waited for their partition are handled in the wrong order",
    RestOvertaken: "what is left of a batch goes behind the inputs after it",
    WeightKept: "room in the mailbox is not given back",
    KeeperWaitsForever: "the keeper goes on waiting for a cut that was not needed",
    MigratedTwice: "a profile that a newer version moves comes to its node twice",
    WaitNotRecomputed: "a wait that is to be recomputed ends when it did before",
    KeptForgotten: "a profile that a newer version keeps is asked again where it gets to",
    SendsForgotten: "a profile that goes on in a newer version numbers its messages anew",
    MigrationNotSwept: "profiles of older versions go on only at their next event or timer",
    DuplicateCounted: "a repeated event is counted",
    TestTakesAnyone: "a test lets in who is no test profile",
    TestDrawsSplits: "a split in test draws instead of taking the top way",
    PauseForgetsActions: "a paused journey goes on sending",
    EntrantLost: "entrants are not kept while a journey is paused",
    HeldEventLost: "what a held profile's next node awaits is not kept",
    ShiftForgotten: "waits that ran through a pause are not shifted by it",
    OverdueNotDropped: "overdue messages that were to be dropped are sent",
    ResumeNotSwept: "whoever a pause holds does not learn that it was resumed",
    ParcelTakenTwice: "a parcel that is delivered again is taken in again",
    ParcelForgottenAtStart: "parcels on their way at a start are not delivered again",
    CountersForgotten: "what a cap has granted is not in the snapshot of its home",
    PlaceNotReturned: "a place under a cap that nobody takes any more is not given back",
    TreatmentDrawnAnew: "an experiment draws anew at each entry",
    LastRuleWins: "of targeting rules that hold, the last decides",
    GapSaidEmpty: "what a call would say with a parameter that is null is said with nothing in its place",
    PathNotEncoded: "parameters stand in the paths of calls as they are",
    SpentTooEarly: "a cap counts as spent when all its places are granted, and not yet taken",
}

#[cfg(feature = "planted-bugs")]
static PLANTED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(usize::MAX);

/// Switches one bug on, and every other off.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    let place = bug.and_then(|bug| Bug::ALL.iter().position(|other| *other == bug));
    PLANTED.store(place.unwrap_or(usize::MAX), std::sync::atomic::Ordering::Relaxed);
}

/// Whether this bug is on.
#[cfg(feature = "planted-bugs")]
#[inline]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == bug as usize
}

/// Whether this bug is on: never.
#[cfg(not(feature = "planted-bugs"))]
#[inline]
pub const fn is_planted(_: Bug) -> bool {
    false
}
