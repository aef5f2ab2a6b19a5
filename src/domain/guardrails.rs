//! Guardrails: limits on what may be published or ordered, which an operator may move (spec §14). Owns their names, defaults and how far
//! they may be moved; the rules lie in `catalog::guardrails`.
//!
//! What the engine itself relies on is no guardrail but a constant in [`limits`]: a guardrail may be set tighter than such a
//! constant, never wider. Whatever was published before stays as it is when a guardrail moves.

use crate::domain::limits;

/// Limits on journeys. Spans are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guardrails {
    /// Nodes of a journey, ends not counted (contract: 50).
    pub journey_nodes_max: usize,
    /// Nodes beyond which a journey is hard to follow (AJO recommends 15 to 25): a hint.
    pub journey_nodes_advised: usize,
    /// Bytes of a journey's definition as it is stored; from 90 % on a warning.
    pub journey_bytes_max: usize,
    /// Live journeys.
    pub journeys_max: usize,
    /// Live journeys that name one event.
    pub journeys_per_event_max: usize,
    /// Rule sets.
    pub rule_sets_max: usize,
    /// Shortest re-entrance period.
    pub reentry_min_ms: i64,
    /// Longest re-entrance period.
    pub reentry_max_ms: i64,
    /// Longest wait.
    pub wait_max_ms: i64,
    /// Longest time an event is waited for.
    pub event_timeout_max_ms: i64,
    /// Shortest time that feedback is waited for (AJO: 40 s): below, a warning.
    pub reaction_timeout_min_ms: i64,
    /// Longest life of an instance.
    pub timeout_max_ms: i64,
    /// Fields that one node sets in the profile's document.
    pub update_fields_max: usize,
    /// Least calls a second that a throttling allows (AJO: an endpoint has to bear 200).
    pub throughput_min: u32,
    /// Most calls a second that a throttling allows.
    pub throughput_max: u32,
    /// Longest time of one call, its retries included.
    pub call_timeout_max_ms: i64,
    /// Requests of one call after the first.
    pub call_retries_max: u32,
    /// Calls of one host in a minute.
    pub calls_per_host_max: u32,
    /// Calls of one slow action in half a minute.
    pub calls_per_slow_action_max: u32,
    /// Cappings.
    pub cappings_max: usize,
    /// Surfaces of one channel.
    pub surfaces_max: usize,
    /// Nodes of a fragment, ends not counted.
    pub fragment_nodes_max: usize,
    /// Treatments of an experiment.
    pub treatments_max: usize,
    /// Nodes of a journey that look up in datasets.
    pub lookups_max: usize,
    /// Fields that one of them takes.
    pub lookup_fields_max: usize,
    /// Test profiles.
    pub test_profiles_max: usize,
    /// Longest pause of a journey.
    pub pause_max_ms: i64,
    /// Profiles that pauses hold at actions; beyond, they leave at their next action (AJO: 10,000,000).
    pub held_profiles_max: usize,
    /// Entrants that wait for the end of a pause; beyond, they are discarded.
    pub held_entrants_max: usize,
}

impl Guardrails {
    /// The values of AJO, and of the contract where it says otherwise.
    pub const DEFAULT: Self = Self {
        journey_nodes_max: limits::NODES_MAX,
        journey_nodes_advised: 25,
        journey_bytes_max: 4_000_000,
        journeys_max: 200,
        journeys_per_event_max: 25,
        rule_sets_max: 10,
        reentry_min_ms: limits::REENTRY_MS_MIN,
        reentry_max_ms: limits::REENTRY_MS_MAX,
        wait_max_ms: limits::WAIT_MS_MAX,
        event_timeout_max_ms: limits::WAIT_MS_MAX,
        reaction_timeout_min_ms: 40_000,
        timeout_max_ms: limits::TIMEOUT_MS_MAX,
        update_fields_max: limits::UPDATE_FIELDS_MAX,
        throughput_min: 200,
        throughput_max: 5_000,
        call_timeout_max_ms: limits::CALL_TIMEOUT_RANGE_MS.1,
        call_retries_max: limits::CALL_RETRIES_MAX,
        calls_per_host_max: limits::CALLS_PER_HOST_MAX,
        calls_per_slow_action_max: limits::CALLS_PER_SLOW_ACTION_MAX,
        cappings_max: 10,
        surfaces_max: 10,
        fragment_nodes_max: limits::FRAGMENT_NODES_MAX,
        treatments_max: limits::TREATMENTS_RANGE.1,
        lookups_max: limits::LOOKUPS_MAX,
        lookup_fields_max: limits::LOOKUP_FIELDS_MAX,
        test_profiles_max: limits::TEST_PROFILES_MAX,
        pause_max_ms: limits::PAUSE_MS_MAX,
        held_profiles_max: limits::HELD_PROFILES_MAX,
        held_entrants_max: limits::HELD_ENTRANTS_MAX,
    };

    /// As wide as they go.
    pub const WIDEST: Self = Self {
        journey_nodes_advised: usize::MAX,
        journey_bytes_max: usize::MAX,
        journeys_max: usize::MAX,
        journeys_per_event_max: usize::MAX,
        rule_sets_max: usize::MAX,
        reaction_timeout_min_ms: 0,
        throughput_min: 1,
        throughput_max: u32::MAX,
        cappings_max: usize::MAX,
        surfaces_max: usize::MAX,
        held_profiles_max: usize::MAX,
        held_entrants_max: usize::MAX,
        ..Self::DEFAULT
    };

    /// Which of them is wider than the engine goes, by its name; none if all is well.
    pub fn beyond(&self) -> Option<(&'static str, String)> {
        use crate::domain::journey::duration::print;
        let widest = Self::WIDEST;
        let spans = [
            ("reentry_max", self.reentry_max_ms, widest.reentry_max_ms),
            ("wait_max", self.wait_max_ms, widest.wait_max_ms),
            ("event_timeout_max", self.event_timeout_max_ms, widest.event_timeout_max_ms),
            ("timeout_max", self.timeout_max_ms, widest.timeout_max_ms),
            ("call_timeout_max", self.call_timeout_max_ms, widest.call_timeout_max_ms),
            ("pause_max", self.pause_max_ms, widest.pause_max_ms),
        ];
        let counts = [
            ("journey_nodes_max", self.journey_nodes_max, widest.journey_nodes_max),
            ("update_fields_max", self.update_fields_max, widest.update_fields_max),
            ("call_retries_max", self.call_retries_max as usize, widest.call_retries_max as usize),
            ("calls_per_host_max", self.calls_per_host_max as usize, widest.calls_per_host_max as usize),
            (
                "calls_per_slow_action_max",
                self.calls_per_slow_action_max as usize,
                widest.calls_per_slow_action_max as usize,
            ),
            ("fragment_nodes_max", self.fragment_nodes_max, widest.fragment_nodes_max),
            ("treatments_max", self.treatments_max, widest.treatments_max),
            ("lookups_max", self.lookups_max, widest.lookups_max),
            ("lookup_fields_max", self.lookup_fields_max, widest.lookup_fields_max),
            ("test_profiles_max", self.test_profiles_max, widest.test_profiles_max),
        ];
        if self.reentry_min_ms < widest.reentry_min_ms || self.reentry_min_ms > self.reentry_max_ms {
            return Some(("reentry_min", format!("{} to `reentry_max`", print(widest.reentry_min_ms))));
        }
        // A call needs a second at least, and a pause of nothing is none.
        let least = [
            ("call_timeout_max", self.call_timeout_max_ms, limits::CALL_TIMEOUT_RANGE_MS.0),
            ("pause_max", self.pause_max_ms, 1),
        ];
        if let Some((name, _, least)) = least.into_iter().find(|(_, value, least)| value < least) {
            return Some((name, format!("{} at least", print(least))));
        }
        if self.throughput_min == 0 || self.throughput_min > self.throughput_max {
            return Some(("throughput_min", "1 to `throughput_max`".to_owned()));
        }
        let span = spans.into_iter().find(|(_, value, max)| value > max).map(|(name, _, max)| (name, print(max)));
        let count =
            counts.into_iter().find(|(_, value, max)| value > max).map(|(name, _, max)| (name, max.to_string()));
        span.or(count).map(|(name, max)| (name, format!("at most {max}")))
    }
}

/// What is said of a bound of the engine that the guardrail `setting` may make tighter.
pub fn tighter_by(setting: &str) -> String {
    format!("`guardrails.{setting}` can make the limit tighter, not wider")
}

impl Default for Guardrails {
    fn default() -> Self {
        Self::DEFAULT
    }
}
