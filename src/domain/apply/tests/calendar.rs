//! What goes by dates and by clocks on walls; and splits.

use std::collections::BTreeMap;

use super::*;
use crate::domain::apply::walk::drawn_share;
use crate::domain::journey::definition::SHARES;

/// 2026-01-01 was a Thursday.
const CLOCK: &str = "a: { wait: { time: '09:00', days: [fri, mon] }, then: b }";

#[test]
fn a_wait_ends_when_the_clock_shows_its_time() {
    let in_zone = |head: &str| journey(head, &[CLOCK, "b: { wait: 1h, then: done }"]);
    check(&in_zone(""), "0 go\n32h59m59s999ms tick\n33h tick", "0 j#1: enter a~1d9h\n1d9h j#1: /wait_ended b~1d10h");
    // Paris is an hour ahead of UTC, New York five hours behind.
    check(&in_zone("timezone: Europe/Paris"), "0 go", "0 j#1: enter a~1d8h");
    check(&in_zone("timezone: America/New_York"), "0 go", "0 j#1: enter a~1d14h");
}

#[test]
fn the_profiles_clock_counts_where_it_has_one() {
    let journeys = journey("timezone: Europe/Paris\nlocal_time: profile", &[CLOCK, "b: { wait: 1h, then: done }"]);
    for (zone, due) in [
        (r#""America/New_York""#, "1d14h"),
        (r#""+09:30""#, "23h30m"),
        (r#""Mars/Olympus""#, "1d8h"),
        ("7", "1d8h"),
        ("null", "1d8h"),
    ] {
        let script = format!("0 profile.update {{\"timezone\": {zone}}}\n0 go");
        check(&journeys, &script, &format!("0 j#1: enter a~{due}"));
    }
}

/// A time that the present instant shows is the next one's: what goes round daily is there once a day.
#[test]
fn a_daily_round_comes_once_a_day() {
    let nodes = [
        "a: { wait: { time: '09:00' }, then: b }",
        "b: { message: hello, then: c }",
        "c: { condition: [ { when: event.n > 5, then: done } ], otherwise: a }",
    ];
    check(
        &journey("timeout: 3d", &nodes),
        "0 go\n9h tick\n1d9h tick\n2d9h tick\n3d tick",
        "0 j#1: enter a~9h
         9h j#1: /wait_ended b *hello /then c /otherwise a~1d9h
         1d9h j#1: /wait_ended b *hello /then c /otherwise a~2d9h
         2d9h j#1: /wait_ended b *hello /then c /otherwise a
         3d j#1: =timeout",
    );
}

#[test]
fn branches_ask_for_hours_and_dates() {
    let branches = "a: { condition: [
        { time: { days: [thu], from: '21:00', to: '09:00' }, then: b },
        { date: { from: 2026-01-03, to: 2026-01-04 }, then: c },
        { when: event.n > 1, then: done } ] }";
    let nodes = [branches, "b: { wait: 1h, then: done }", "c: { wait: 2h, then: done }"];
    let journeys = journey("timezone: Europe/Paris\nreentry: { after: 5m }", &nodes);
    for (at, expected) in [
        ("19h59m", "=completed"),
        ("20h", "/branch0 b~21h"),
        ("1d7h59m", "/branch0 b~1d8h59m"),
        ("1d8h", "=completed"),
        // A day of the range counts to its midnight, in Paris.
        ("1d22h59m", "=completed"),
        ("1d23h", "/branch1 c~2d1h"),
        ("3d22h59m", "/branch1 c~4d59m"),
        ("3d23h", "=completed"),
    ] {
        check(&journeys, &format!("{at} go"), &format!("{at} j#1: enter a {expected}"));
    }
}

#[test]
fn nobody_enters_outside_the_dates_and_all_leave_at_the_end() {
    let head = "start_date: 2026-01-02\nend_date: 2026-01-05T12:00\nreentry: { after: 1h }";
    check(
        &journey(head, &["a: { wait: 1d, then: b }", "b: { event: buy, then: done }"]),
        "
        0 go
        23h59m59s999ms go
        1d go
        3d go
        4d11h59m59s999ms go
        4d12h tick
        4d12h go
        5d go
        ",
        "0 j: discards outside_dates
         23h59m59s999ms j: discards outside_dates
         1d j#1: enter a~2d
         3d j#1: /wait_ended b
         3d j: discards already_in_journey
         4d11h59m59s999ms j: discards already_in_journey
         4d12h j#1: =ended
         4d12h j: discards outside_dates
         5d j: discards outside_dates",
    );
}

#[test]
fn the_earlier_of_timeout_and_end_date_ends_an_instance() {
    let nodes = ["a: { event: buy, then: done }"];
    check(&journey("timeout: 1d\nend_date: 2026-01-02", &nodes), "0 go\n1d tick", "0 j#1: enter a\n1d j#1: =ended");
    check(
        &journey("timeout: 23h\nend_date: 2026-01-02", &nodes),
        "0 go\n23h tick",
        "0 j#1: enter a\n23h j#1: =timeout",
    );
}

#[test]
fn errors_go_their_own_way() {
    let nodes = [
        "a: { condition: [ { when: 1 / event.n > 0, then: done } ], otherwise: done, on_error: b }",
        "b: { wait: { until: event.at }, then: done, on_error: c }",
        "c: { event: buy, when: 1 / last.n > 0, then: done, on_error: d }",
        "d: { wait: 1h, then: done }",
    ];
    let rig = check(
        &journey("", &nodes),
        r#"
        0  go {"n": 0, "at": "soon"}
        1m buy {"n": 0}
        2h tick
        "#,
        "0 j#1: enter a /failed b /failed c
         1m j#1: /failed d~1h1m
         2h j#1: /wait_ended done =completed",
    );
    assert_eq!(rig.notes.len(), 3, "each error is told: {:?}", rig.notes);
    let counts = rig.counts.iter().next().expect("one version").1;
    assert_eq!((counts.entered, counts.errors()), (1, 0), "who goes on has not failed");
}

/// Draws are even, and those of two nodes or two journeys have nothing to do with each other.
#[test]
fn shares_are_met_within_five_sigma() {
    const COUNT: u32 = 50_000;
    let identities: Vec<String> = (0..COUNT).map(|n| format!("crm:{n}")).collect();
    let is_met = |count: usize, probability: f64| {
        let expected = f64::from(COUNT) * probability;
        let sigma = (expected * (1.0 - probability)).sqrt();
        assert!((count as f64 - expected).abs() <= 5.0 * sigma, "{count} of {COUNT} at {probability}");
    };
    for share in [50, 1_000, 3_333, 5_000, 9_950] {
        let below = |journey: &str, node: &str, identity: &str| drawn_share(identity, journey, node) < share;
        let probability = f64::from(share) / f64::from(SHARES);
        is_met(identities.iter().filter(|identity| below("j", "a", identity)).count(), probability);
        let both = identities.iter().filter(|identity| below("j", "a", identity) && below("j", "b", identity));
        is_met(both.count(), probability * probability);
        let both = identities.iter().filter(|identity| below("j", "a", identity) && below("k", "a", identity));
        is_met(both.count(), probability * probability);
    }
}

/// What nodes make of the draws: each way gets its share of the profiles, and a profile goes the same way when it enters
/// again, in another version.
#[test]
fn ways_get_their_shares_and_keep_their_profiles() {
    const COUNT: usize = 4_000;
    let journeys = |wait: &str| {
        let stay = |name: &str| format!("{name}: {{ wait: {wait}, then: done }}");
        let (b, c, d) = (stay("b"), stay("c"), stay("d"));
        let split =
            "a: { split: [ { percent: 12.5, then: b }, { percent: 33.3, then: c }, { percent: 54.2, then: d } ] }";
        let experiment = "a: { optimize: { experiment: [ { treatment: x, weight: 1, then: b }, { treatment: y, weight: 3, then: c } ], \
            holdout: { percent: 20, then: d } } }";
        let (ways, treated) = (named("j", "", &[split, &b, &c, &d]), named("k", "", &[experiment, &b, &c, &d]));
        format!("{ways}---\n{treated}")
    };
    let first = Rig::new(&journeys("1h"));
    let second = Rig::of(first.catalog.clone()).publish(&journeys("2h"));
    let mut taken: BTreeMap<(usize, String), usize> = BTreeMap::new();
    for n in 0..COUNT {
        let mut rig = Rig::of(first.catalog.clone());
        let identity = format!("crm:{n}");
        let key = HashKey::FIXED.profile_key(SandboxId::DEFAULT, "crm", &n.to_string());
        rig.profile = Profile::new(key, SmolStr::new(identity));
        let rig = rig.run("0 go");
        let ways: Vec<String> = rig.at().into_iter().map(str::to_owned).collect();
        assert_eq!(ways.len(), 2, "it is in both");
        for (journey, way) in ways.iter().enumerate() {
            *taken.entry((journey, way.clone())).or_default() += 1;
        }
        let rig = Rig { catalog: second.catalog.clone(), ..rig }.run("1h tick\n1d go");
        assert_eq!(rig.at(), ways, "crm:{n} goes as before");
        assert!(rig.profile.instances.iter().all(|instance| rig.catalog.program(instance.version).number == 2));
    }
    let shares = [(0, "b", 0.125), (0, "c", 0.333), (0, "d", 0.542), (1, "b", 0.2), (1, "c", 0.6), (1, "d", 0.2)];
    for (journey, way, share) in shares {
        let (count, expected) = (taken[&(journey, way.to_owned())] as f64, COUNT as f64 * share);
        let sigma = (expected * (1.0 - share)).sqrt();
        assert!((count - expected).abs() <= 5.0 * sigma, "{count} of {COUNT} took {way}, at {share}");
    }
}

/// The way is drawn once for a profile: the same after any time, in every version, on every machine.
#[test]
fn a_split_is_drawn_once_for_a_profile() {
    let split = |percent: u32| {
        let rest = 100 - percent;
        let ways = format!("a: {{ split: [ {{ percent: {percent}, then: b }}, {{ percent: {rest}, then: done }} ] }}");
        journey("reentry: { after: 5m }", &[&ways, "b: { end: true }"])
    };
    // This profile draws 24 and something here, and always will.
    check(
        &split(25),
        "0 go\n1h go\n90d go",
        "0 j#1: enter a /branch0 b =completed
         1h j#2: enter a /branch0 b =completed
         90d j#3: enter a /branch0 b =completed",
    );
    check(&split(24), "0 go", "0 j#1: enter a /branch1 done =completed");
    check(&split(0), "0 go", "0 j#1: enter a /branch1 done =completed");
    check(&split(100), "0 go", "0 j#1: enter a /branch0 b =completed");
}
