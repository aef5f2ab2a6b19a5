//! Random journeys meet random inputs: whatever happens, the laws hold (every input of a [`Rig`] is held against them).

use proptest::prelude::*;

use super::*;
use crate::domain::journey::laws;

/// An input and how long after the one before.
fn input() -> impl Strategy<Value = (i64, String)> {
    let minutes = prop_oneof![Just(0), 0..90i64, Just(60), Just(1_440), 1_440..200_000i64];
    let what = prop_oneof![
        8 => (0..4i64).prop_map(|n| format!("go {{\"n\": {n}}}")),
        4 => Just("tick".to_owned()),
        1 => Just("room full".to_owned()),
        1 => Just("room free".to_owned()),
        1 => (0..4i64).prop_map(|n| format!("profile.update {{\"a\": {{\"b{n}\": {n}, \"b0\": null}}, \"c{n}\": {n}}}")),
    ];
    (minutes, what)
}

fn firing() -> impl Strategy<Value = Firing> {
    prop_oneof![Just(Firing::Engine), Just(Firing::Due)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_laws_hold(
        text in laws::journey(),
        inputs in prop::collection::vec(input(), 1..30),
        firing in firing(),
        last in prop_oneof![Just("close j"), Just("stop j")],
    ) {
        let file = SourceFile { name: "f.yaml".to_owned(), text };
        let Ok((catalog, _)) = Catalog::default().apply(&[file], START) else { return Ok(()) };
        let mut rig = Rig::of(catalog).firing(firing);
        let mut now = START;
        for (minutes, what) in inputs {
            now = now.plus(minutes * 60_000);
            // Virtual time without room would try again every second of months.
            if firing == Firing::Engine || !what.starts_with("room") {
                rig.line(now, &what);
            }
        }
        rig.line(now, last);
        rig.line(now, "tick");
        prop_assert!(last == "close j" || rig.profile.instances.is_empty());
        // Whatever is left ends by its timeout.
        rig.room.set(true);
        for _ in 0..4 {
            now = now.plus(crate::domain::limits::TIMEOUT_MS_MAX);
            rig.line(now, "tick");
        }
        prop_assert!(rig.profile.instances.is_empty());
    }
}
