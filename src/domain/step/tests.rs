//! Codes of steps, and their words.

use super::*;

/// Stored by releases: an entry here is for ever.
#[test]
fn codes_stay_what_they_are() {
    let message = |outcome| StepKind::Message { message: 513, outcome };
    let golden = [
        (StepKind::Entered(Entrance::First), (1, 0)),
        (StepKind::Entered(Entrance::Again), (1, 1)),
        (StepKind::Entered(Entrance::Migrated), (1, 2)),
        (StepKind::Arrived, (2, 0)),
        (StepKind::Left(Path::Then), (3, 0)),
        (StepKind::Left(Path::Otherwise), (3, 1)),
        (StepKind::Left(Path::WaitEnded), (3, 2)),
        (StepKind::Left(Path::EventReceived), (3, 3)),
        (StepKind::Left(Path::TimedOut), (3, 4)),
        (StepKind::Left(Path::Failed), (3, 5)),
        (StepKind::Left(Path::Branch(77)), (4, 77)),
        (StepKind::Left(Path::Way(9)), (67, 9)),
        (StepKind::Exited(ExitReason::Completed), (5, 0)),
        (StepKind::Exited(ExitReason::Criteria), (5, 1)),
        (StepKind::Exited(ExitReason::Forced), (5, 5)),
        (StepKind::Exited(ExitReason::Migrated), (5, 6)),
        (StepKind::Exited(ExitReason::Withdrawn), (5, 7)),
        (StepKind::Exited(ExitReason::Timeout), (5, 2)),
        (StepKind::Exited(ExitReason::Stopped), (5, 3)),
        (StepKind::Exited(ExitReason::Ended), (5, 4)),
        (StepKind::Exited(ExitReason::Forced), (5, 5)),
        (StepKind::Failed(Failure::Expression), (6, 0)),
        (StepKind::Failed(Failure::VisitLimit), (6, 1)),
        (StepKind::Failed(Failure::StepLimit), (6, 2)),
        (StepKind::Failed(Failure::InstanceTooLarge), (6, 3)),
        (StepKind::Failed(Failure::Jump), (6, 4)),
        (StepKind::Failed(Failure::DocumentTooLarge), (6, 5)),
        (StepKind::Failed(Failure::Action(None)), (6, 6)),
        (StepKind::Failed(Failure::Action(Some(CallStatus::Http(500)))), (6, 500)),
        (StepKind::Failed(Failure::Action(Some(CallStatus::TimedOut))), (6, 1_000)),
        (StepKind::Failed(Failure::Action(Some(CallStatus::Capped))), (6, 1_001)),
        (StepKind::Failed(Failure::Action(Some(CallStatus::InternalError))), (6, 1_002)),
        (StepKind::Called(CallStatus::Http(503)), (64, 503)),
        (StepKind::Called(CallStatus::TimedOut), (64, 1_000)),
        (StepKind::Called(CallStatus::Capped), (64, 1_001)),
        (StepKind::Called(CallStatus::InternalError), (64, 1_002)),
        (StepKind::Discarded(DiscardReason::AlreadyInJourney), (7, 0)),
        (StepKind::Discarded(DiscardReason::ReentranceNotAllowed), (7, 1)),
        (StepKind::Discarded(DiscardReason::EntryFilterError), (7, 2)),
        (StepKind::Discarded(DiscardReason::TooManyInstances), (7, 3)),
        (StepKind::Discarded(DiscardReason::OutsideDates), (7, 4)),
        (StepKind::Discarded(DiscardReason::NoSupplementalId), (7, 5)),
        (StepKind::Discarded(DiscardReason::CapReached), (7, 6)),
        (StepKind::Discarded(DiscardReason::LowerPriority), (7, 7)),
        (StepKind::Discarded(DiscardReason::Paused), (7, 8)),
        (StepKind::Held(0), (65, 0)),
        (StepKind::Held(3), (65, 3)),
        (StepKind::Released(0), (66, 0)),
        (StepKind::Released(10), (66, 10)),
        (StepKind::Kept(NodeNo(7)), (68, 7)),
        (StepKind::NotKept(Unkept::TooMany), (69, 0)),
        (StepKind::NotKept(Unkept::TooLarge), (69, 1)),
        (message(MessageOutcome::Requested), (8, 513)),
        (message(MessageOutcome::Excluded), (9, 513)),
        (message(MessageOutcome::Sent), (10, 513)),
        (message(MessageOutcome::Failed), (11, 513)),
        (message(MessageOutcome::InDoubt), (12, 513)),
        (message(MessageOutcome::Cancelled), (13, 513)),
        (message(MessageOutcome::Resolved), (14, 513)),
        (message(MessageOutcome::Dropped), (15, 513)),
        (message(MessageOutcome::Merged), (16, 513)),
    ];
    for (kind, code) in golden {
        assert_eq!(kind.code(), code);
        assert_eq!(StepKind::from_code(code.0, code.1), Some(kind));
    }
}

#[test]
fn other_codes_are_none() {
    for (code, detail) in [
        (0, 0),
        (1, 3),
        (3, 6),
        (5, 8),
        (6, 7),
        (6, 99),
        (6, 1_003),
        (7, 9),
        (17, 0),
        (64, 99),
        (64, 1_003),
        (69, 2),
        (255, 0),
    ] {
        assert_eq!(StepKind::from_code(code, detail), None, "{code} {detail}");
    }
}

/// Counters are indexed by code.
#[test]
fn codes_are_places_in_all() {
    for (place, reason) in ExitReason::ALL.iter().enumerate() {
        assert_eq!(usize::from(reason.code()), place);
    }
    for (place, failure) in Failure::PLAIN.iter().enumerate() {
        assert_eq!(usize::from(failure.code()), place);
        assert_eq!((failure.to_string().as_str(), failure.error_code().as_ref()), (failure.word(), "error"));
    }
    for (place, reason) in DiscardReason::ALL.iter().enumerate() {
        assert_eq!(usize::from(reason.code()), place);
    }
    for (place, outcome) in MessageOutcome::ALL.iter().enumerate() {
        assert_eq!(usize::from(outcome.code()), place);
    }
}
