//! Guardrails that count what is published.

use super::*;

fn many(first: usize, count: usize) -> String {
    let journeys: Vec<String> = (first..first + count)
        .map(|n| format!("kind: journey\nname: j{n:03}\nentry: {{ event: go }}\nstart: done\nnodes: {{ done: {{ end: true }} }}\n"))
        .collect();
    journeys.join("---\n")
}

#[test]
fn live_journeys() {
    let rails = Guardrails { journeys_max: 5, journeys_per_event_max: usize::MAX, ..Guardrails::DEFAULT };
    let apply = |catalog: &Catalog, text: &str, rails: &Guardrails| {
        catalog.apply_within(&files(&[PRELUDE, text]), Millis(0), rails)
    };
    let none = Catalog::default();
    let (five, _) = apply(&none, &many(0, 5), &rails).expect("five");
    assert_eq!(codes(apply(&none, &many(0, 6), &rails)), ["guardrail journeys_max"]);
    assert_eq!(codes(apply(&five, &many(5, 1), &rails)), ["guardrail journeys_max"]);
    let (four, _) = apply(&five.close("j002", None).expect("closes"), &many(5, 1), &rails).expect("one for another");
    assert_eq!(four.live.len(), 5);
    // What is live stays, and may change, when the limit moves.
    let tighter = Guardrails { journeys_max: 3, ..rails };
    assert_eq!(codes(apply(&five, &many(1, 2).replace("{ event: go }", "{ event: quit }"), &tighter)), [""; 0]);
    // Closed ones count until everybody is out.
    let closed = five.close("j002", None).expect("closes");
    let beside = |closing: &[&str]| {
        let closing = closing.iter().map(SmolStr::new).collect();
        codes(closed.apply_beside(&files(&[PRELUDE, &many(5, 1)]), Millis(0), &rails, &closing))
    };
    assert_eq!(beside(&["j002"]), ["guardrail journeys_max"]);
    assert_eq!(beside(&["j001"]), [""; 0], "an older version of a live one counts with it");
    let usual = Guardrails { journeys_per_event_max: usize::MAX, ..Guardrails::DEFAULT };
    assert_eq!(codes(apply(&none, &many(0, 200), &usual)), [""; 0]);
    assert_eq!(codes(apply(&none, &many(0, 201), &usual)), ["guardrail journeys_max"]);
}

#[test]
fn rule_sets() {
    let sets = |first: usize, count: usize| {
        let sets = (first..first + count).map(|n| format!("kind: rule_set\nname: s{n:02}\nconcurrent: 1\n"));
        sets.collect::<Vec<_>>().join("---\n")
    };
    let apply = |catalog: &Catalog, text: &str| catalog.apply(&files(&[text]), Millis(0));
    let (ten, _) = apply(&Catalog::default(), &sets(0, 10)).expect("ten");
    assert_eq!(codes(apply(&Catalog::default(), &sets(0, 11))), ["guardrail rule_sets_max"]);
    assert_eq!(codes(apply(&ten, &sets(10, 1))), ["guardrail rule_sets_max"]);
    assert_eq!(codes(apply(&ten, &sets(0, 10).replace("concurrent: 1", "concurrent: 2"))), [""; 0]);
}

#[test]
fn journeys_of_one_event() {
    let apply = |catalog: &Catalog, text: &str| catalog.apply(&files(&[PRELUDE, text]), Millis(0));
    let (full, _) = apply(&Catalog::default(), &many(0, 25)).expect("25");
    let beyond = ["guardrail journeys_per_event_max"];
    assert_eq!(codes(apply(&full, &many(25, 1))), beyond);
    assert_eq!(codes(apply(&full, &many(25, 1).replace("event: go", "event: quit"))), [""; 0]);
    // Each naming counts, not only the entry's; what names it already may change.
    let exits = many(25, 1).replace("entry: { event: go }", "entry: { event: quit }\nexit: [ { event: go } ]");
    assert_eq!(codes(apply(&full, &exits)), beyond);
    assert_eq!(codes(apply(&full, &many(3, 1).replace("event: go", "event: go, when: event.n > 1"))), [""; 0]);
}

#[test]
fn cappings_and_surfaces() {
    let cappings = |first: usize, count: usize| {
        let of = |n| {
            format!(
                "kind: capping\nname: c{n:02}\nurl: 'https://api.example.com/{n}'\nrating: {{ max_calls: 5, per: 1s }}\n"
            )
        };
        (first..first + count).map(of).collect::<Vec<_>>().join("---\n")
    };
    let surfaces = |first: usize, count: usize| {
        let of = |n| {
            format!(
                "kind: surface\nname: s{n:02}\nchannel: webhook\nwebhook: {{ url: 'https://api.example.com/{n}' }}\n"
            )
        };
        (first..first + count).map(of).collect::<Vec<_>>().join("---\n")
    };
    let apply = |catalog: &Catalog, text: &str| catalog.apply(&files(&[text]), Millis(0));
    let (full, _) =
        apply(&Catalog::default(), &format!("{}---\n{}", cappings(0, 10), surfaces(0, 10))).expect("ten each");
    assert_eq!(codes(apply(&full, &cappings(10, 1))), ["guardrail cappings_max"]);
    assert_eq!(codes(apply(&full, &cappings(3, 1).replace("max_calls: 5", "max_calls: 6"))), [""; 0]);
    assert_eq!(codes(apply(&full, &surfaces(10, 1))), ["guardrail surfaces_max"]);
    assert_eq!(codes(apply(&full, &surfaces(3, 1).replace("/3", "/4"))), [""; 0]);
    // Each channel has its own.
    let mail = "kind: surface\nname: mail\nchannel: email\nsmtp: { host: 127.0.0.1, port: 25, from: a@b }\n";
    assert_eq!(codes(apply(&full, mail)), [""; 0]);
    let wide = Guardrails { cappings_max: 11, surfaces_max: 11, ..Guardrails::DEFAULT };
    let more = format!("{}---\n{}", cappings(10, 1), surfaces(10, 1));
    assert!(full.apply_within(&files(&[&more]), Millis(0), &wide).is_ok());
}
