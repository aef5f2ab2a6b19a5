//! A few dozen seeds through the simulator, and the same seed twice: `cargo test --features sim --test sim`.
#![cfg(feature = "sim")]

use sojourn::sim::run::{Trace, run_seed};

#[test]
fn seeds_hold() {
    for seed in 0..32 {
        let outcome = run_seed(seed, Trace::Off);
        assert_eq!(outcome.violation, None, "seed {seed}; replay with `sojourn sim --seed {seed} --trace`");
        assert!(outcome.records > 0, "seed {seed} did something");
    }
}

#[test]
fn a_seed_replays() {
    for seed in [3, 11] {
        let (first, second) = (run_seed(seed, Trace::Kept), run_seed(seed, Trace::Kept));
        assert!(first.trace.len() > 100);
        let differs = first.trace.iter().zip(&second.trace).find(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.trace.len(), second.trace.len(), "seed {seed}");
    }
}
