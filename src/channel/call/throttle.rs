//! The line before throttled endpoints: calls wait for their turn, in the order in which they were decided, and no more pass
//! within any second than the throttling allows.
//!
//! A call stands in line with a worker of its action's pool. Pools start calls in the order of their decisions too, so the
//! first of the line is the first of all that wait, whichever action they are of.
//!
//! INVARIANT: who stands in line is in `waiting`; whoever leaves, also by being dropped, wakes the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::domain::endpoint::{Method, Throttling};
use crate::domain::ids::{CatalogVersion, DeliveryId, Millis};
use crate::domain::window::SlidingWindow;

const SECOND_MS: i64 = 1_000;

/// Where a call stands: when it was decided, and which it is.
pub(super) type Turn = (Millis, DeliveryId);

/// What a call asks to be let through for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errand<'a> {
    /// How the request is made.
    pub(super) method: Method,
    /// Where to, without query.
    pub(super) url: &'a str,
    /// Its place in line.
    pub(super) turn: Turn,
}

/// Whether it was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// Now.
    Free,
    /// Not by then.
    TooLate,
}

/// The line.
#[derive(Default)]
pub(super) struct Line {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    catalog: CatalogVersion,
    throttling: Option<Arc<Throttling>>,
    window: Option<SlidingWindow>,
    waiting: BTreeMap<Turn, Arc<Notify>>,
}

impl Line {
    /// Counts by `throttling` from now on, also for those who wait, unless a later catalog was seen.
    pub(super) fn follow(&self, throttling: Option<&Arc<Throttling>>, catalog: CatalogVersion) {
        self.state.lock().follow(throttling, catalog);
    }

    /// Waits for the turn of `errand`, `until` then at most. What no throttling covers passes at once.
    pub(super) async fn pass(&self, errand: Errand<'_>, until: Instant, started_at: Instant) -> Passage {
        let mut place = None;
        loop {
            let wake_at = match self.look(errand, started_at) {
                Look::Free => return Passage::Free,
                Look::At(at_ms) => until.min(started_at + Duration::from_millis(u64::try_from(at_ms).unwrap_or(0))),
                Look::Behind => until,
            };
            if Instant::now() >= until {
                return Passage::TooLate;
            }
            let (_, woken) = place.get_or_insert_with(|| self.enter(errand.turn));
            let woken = Arc::clone(woken);
            let _ = tokio::time::timeout_at(wake_at, woken.notified()).await;
        }
    }

    fn enter(&self, turn: Turn) -> (Place<'_>, Arc<Notify>) {
        let woken = Arc::new(Notify::new());
        // Between its first look and this the line may have moved, or another throttling may count: it looks once more.
        woken.notify_one();
        self.state.lock().waiting.insert(turn, Arc::clone(&woken));
        (Place { line: self, turn }, woken)
    }

    fn look(&self, errand: Errand<'_>, started_at: Instant) -> Look {
        let mut state = self.state.lock();
        // Read under the lock, so that the window sees time in order.
        state.look(errand, i64::try_from(started_at.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

impl State {
    fn follow(&mut self, throttling: Option<&Arc<Throttling>>, catalog: CatalogVersion) {
        if catalog <= self.catalog {
            return;
        }
        self.catalog = catalog;
        if self.throttling.as_ref() == throttling {
            return;
        }
        self.throttling = throttling.cloned();
        if let Some(throttling) = throttling {
            let limit = throttling.throughput_max;
            self.window.get_or_insert_with(|| SlidingWindow::new(limit, SECOND_MS)).change(limit, SECOND_MS);
        }
        self.waiting.values().for_each(|waiting| waiting.notify_one());
    }

    fn look(&mut self, errand: Errand<'_>, now_ms: i64) -> Look {
        let Self { throttling, window: Some(window), waiting, .. } = self else { return Look::Free };
        if !throttling.as_ref().is_some_and(|throttling| throttling.covers(errand.method, errand.url)) {
            return Look::Free;
        }
        if waiting.first_key_value().is_some_and(|(first, _)| *first < errand.turn) {
            return Look::Behind;
        }
        if window.take(now_ms) {
            return Look::Free;
        }
        // The limit is not 0, so there is an instant.
        Look::At(window.free_at(now_ms).unwrap_or(now_ms))
    }

    fn leave(&mut self, turn: Turn) {
        self.waiting.remove(&turn);
        if let Some((_, next)) = self.waiting.first_key_value() {
            next.notify_one();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Free,
    /// The first of the line, who may pass then, in milliseconds since the start.
    At(i64),
    /// Not the first.
    Behind,
}

/// A place in line; leaving it wakes the next.
struct Place<'a> {
    line: &'a Line,
    turn: Turn,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.line.state.lock().leave(self.turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::testing::delivery_id;
    use crate::domain::endpoint::Deployment;

    fn throttling(throughput_max: u32, deployment: Deployment) -> Arc<Throttling> {
        let url = "https://api.example.com/*".to_owned();
        Arc::new(Throttling { name: "t".into(), url, methods: vec![Method::Post], throughput_max, deployment })
    }

    fn deployed(throughput_max: u32) -> Arc<Throttling> {
        throttling(throughput_max, Deployment::Deployed)
    }

    fn errand(decided_at: i64) -> Errand<'static> {
        let turn = (Millis(decided_at), delivery_id(decided_at as u128));
        Errand { method: Method::Post, url: "https://api.example.com/a", turn }
    }

    /// A line in which these calls stand.
    fn state(throughput_max: u32, decided: &[i64]) -> State {
        let mut state = State::default();
        state.follow(Some(&deployed(throughput_max)), CatalogVersion(1));
        for at in decided {
            state.waiting.insert(errand(*at).turn, Arc::default());
        }
        state
    }

    /// Who passes at `now_ms`.
    fn pass(state: &mut State, now_ms: i64) -> Vec<i64> {
        let mut passed = Vec::new();
        while let Some((first, _)) = state.waiting.first_key_value()
            && let turn = *first
            && state.look(errand(turn.0.0), now_ms) == Look::Free
        {
            state.leave(turn);
            passed.push(turn.0.0);
        }
        passed
    }

    /// Spec §16.17: throttling is a queue, in order; nothing that waits is refused.
    #[test]
    fn calls_over_the_rate_wait_in_the_order_of_their_decisions() {
        let mut state = state(2, &[70, 10, 60, 11, 40, 30]);
        assert_eq!(state.look(errand(11), 0), Look::Behind);
        assert_eq!(pass(&mut state, 0), [10, 11]);
        assert_eq!(state.look(errand(30), 999), Look::At(1_000));
        assert_eq!(state.look(errand(40), 1_000), Look::Behind, "its turn comes after");
        assert_eq!(pass(&mut state, 1_000), [30, 40]);
        // A repeat, whose time runs, goes before all that have not begun.
        let repeat = Errand { turn: (Millis::MIN, delivery_id(10)), ..errand(10) };
        assert_eq!((state.look(repeat, 1_999), state.look(repeat, 2_000)), (Look::At(2_000), Look::Free));
        assert_eq!(pass(&mut state, 2_000), [60]);
        assert_eq!(pass(&mut state, 3_000), [70]);
        let elsewhere = Errand { url: "https://other.example.com/a", ..errand(99) };
        let otherwise = Errand { method: Method::Get, ..errand(99) };
        state.waiting.insert(errand(80).turn, Arc::default());
        assert_eq!((state.look(elsewhere, 3_000), state.look(otherwise, 3_000)), (Look::Free, Look::Free));
    }

    #[test]
    fn a_change_counts_at_once_and_an_older_catalog_does_not() {
        let mut state = state(1, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(pass(&mut state, 0), [1]);
        state.follow(Some(&deployed(3)), CatalogVersion(2));
        state.follow(Some(&deployed(1)), CatalogVersion(1));
        assert_eq!(pass(&mut state, 500), [2, 3], "one of this second has passed before");
        // Undeployed, nobody waits.
        state.follow(Some(&throttling(3, Deployment::Undeployed)), CatalogVersion(3));
        assert_eq!(pass(&mut state, 500), [4, 5, 6]);
    }

    /// Two a second, begun in another order than they were decided.
    #[tokio::test]
    async fn who_waits_is_woken_in_turn_and_who_leaves_keeps_nobody_back() {
        let (line, started_at) = (Arc::new(Line::default()), Instant::now());
        line.follow(Some(&deployed(2)), CatalogVersion(1));
        let patience = Instant::now() + Duration::from_secs(60);
        let passed = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        for at in [1, 2, 50, 30, 40] {
            let (line, passed) = (Arc::clone(&line), Arc::clone(&passed));
            tasks.spawn(async move {
                assert_eq!(line.pass(errand(at), patience, started_at).await, Passage::Free);
                passed.lock().push(at);
            });
            tokio::task::yield_now().await;
        }
        // The first of the line leaves, one by giving up, one by being dropped.
        assert_eq!(line.pass(errand(3), Instant::now(), started_at).await, Passage::TooLate);
        let dropped = line.pass(errand(4), patience, started_at);
        assert!(tokio::time::timeout(Duration::from_millis(1), dropped).await.is_err());
        tasks.join_all().await;
        assert_eq!(*passed.lock(), [1, 2, 30, 40, 50]);
        assert!(started_at.elapsed() >= Duration::from_secs(2), "two a second");
    }
}
