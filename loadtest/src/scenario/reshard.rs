//! From one shard to four and then to two while events come: the longest pause of any profile.
//!
//! Beside the load, probes: 256 profiles, spread over the partitions, each with an event every 20 ms at its intended time.
//! A profile's pause is how long one of its events goes unacknowledged, so the highest latency of the probes while
//! partitions move bounds the pause of each. Other times show what pauses the disk and the machine cause by themselves.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::feed::meter::{Meter, Sample};
use crate::feed::{self, Overflow, Plan, Until};
use crate::figures::Figures;
use crate::options::{Feed, Pace, Run, WAIT_MAX};
use crate::source::Pattern;
use crate::stage::{Extra, Findings, Stage};
use crate::verify::{self, Verdict};

use super::{cart_abandonment, ms};

/// Where the shards go, and when, as parts of the run.
const MOVES: [(f64, u16); 2] = [(0.3, 4), (0.65, 2)];
/// Profiles probed.
const PROBES: u64 = 256;
/// Connections of the probes: few profiles share one, so that a paused one delays few others' acknowledgements.
const PROBE_CONNECTIONS: u64 = 16;
/// Events of each probe a second.
const PROBE_RATE_PER_S: u64 = 50;
/// A move may still be felt so long after it was answered.
const AFTERMATH: Duration = Duration::from_millis(500);

/// A move that was made.
#[derive(Clone, Copy, Debug)]
struct Move {
    to: u16,
    from: Duration,
    until: Duration,
}

pub(super) async fn perform(run: &Run) -> anyhow::Result<Figures> {
    let mut stage = Stage::set(run, &[], &cart_abandonment(&run.wait.text), None).await?;
    let plan = stage.plan(Pattern::Carts, Until::Elapsed(run.duration()));
    let probe = Plan {
        feed: Feed::Tcp,
        producer: format!("{}probe", plan.producer),
        tag: format!("{}probe-", plan.tag),
        pattern: Pattern::Each("visit"),
        profiles: PROBES,
        pace: Pace::PerSecond(PROBES * PROBE_RATE_PER_S),
        connections: PROBE_CONNECTIONS,
        overflow: Overflow::Wait,
        ..plan.clone()
    };
    let probes = Meter::new(None, None);
    let sampling = probes.run_silently();
    let started = Instant::now();
    let (fed, probed, moves) = tokio::try_join!(
        feed::feed(&stage.target, &plan, &stage.meter),
        feed::feed(&stage.target, &probe, &probes),
        make_moves(&stage, &probes, started),
    )?;
    sampling.abort();
    probes.close();
    stage.read_end()?;
    let waiting = verify::active(&stage.report().await?);
    let waits_on = run.wait.span > WAIT_MAX;
    let is_quiet = |report: &_| (waits_on || verify::active(report) == 0) && verify::pending(report) == 0;
    let (report, _) = verify::wait_for(&stage.target, &stage.before, is_quiet).await?;
    let verdict = Verdict::of(fed.events + probed.events, &report, stage.logged()?);
    let (samples, _) = probes.record();
    let (during, otherwise) = pauses(&samples, &moves);
    let each: Vec<Value> = moves
        .iter()
        .map(|made| {
            let pause = pauses(&samples, std::slice::from_ref(made)).0.map(ms);
            json!({"to": made.to, "took_ms": ms(made.until - made.from), "pause_ms": pause})
        })
        .collect();
    let extras = vec![
        Extra::new("pause_max_ms", "longest pause of any profile, moving", during.map(ms), "ms"),
        Extra::new("pause_otherwise_ms", "longest pause otherwise", otherwise.map(ms), "ms"),
        Extra::new("moves", "moves", each, ""),
        Extra::new("probes", "profiles probed", PROBES, ""),
    ];
    stage.finish(Findings { fed, waiting, verdict, extras }).await
}

/// Makes the moves at their times; times count from the meter's start.
async fn make_moves(stage: &Stage, probes: &Arc<Meter>, started: Instant) -> anyhow::Result<Vec<Move>> {
    let mut made = Vec::new();
    for (part, to) in MOVES {
        sleep_until(started + stage.run.duration().mul_f64(part)).await;
        stage.meter.mark(format!("to {to} shards"));
        let from = probes.elapsed();
        stage.target.set_shards(to).await?;
        made.push(Move { to, from, until: probes.elapsed() });
    }
    Ok(made)
}

/// The highest latency in samples that any move touched, and in the others; none where nothing was acknowledged.
fn pauses(samples: &[Sample], moves: &[Move]) -> (Option<Duration>, Option<Duration>) {
    let (mut during, mut otherwise) = (None, None);
    let mut from = Duration::ZERO;
    for sample in samples {
        let highest = sample.latency.map(|[.., max]| Duration::from_nanos(max));
        // A sample holds what was acknowledged since the one before.
        let is_moving = moves.iter().any(|made| made.from <= sample.at && from <= made.until + AFTERMATH);
        let side = if is_moving { &mut during } else { &mut otherwise };
        *side = highest.max(*side);
        from = sample.at;
    }
    (during, otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_belongs_to_the_move_it_overlaps() {
        let sample = |at_ms, max_ms: u64| Sample {
            at: Duration::from_millis(at_ms),
            latency: Some([0, 0, max_ms * 1_000_000]),
            ..Sample::default()
        };
        let samples = [sample(250, 9), sample(500, 3), sample(750, 5), sample(1_000, 7), sample(2_000, 4)];
        let check = |from, until, during, otherwise| {
            let made = Move { to: 2, from: Duration::from_millis(from), until: Duration::from_millis(until) };
            let found = pauses(&samples, &[made]);
            assert_eq!(found, (Some(Duration::from_millis(during)), Some(Duration::from_millis(otherwise))));
        };
        check(300, 310, 7, 9);
        check(100, 110, 9, 7);
        check(1_100, 1_200, 4, 9);
        assert_eq!(pauses(&samples, &[]), (None, Some(Duration::from_millis(9))));
    }
}
