//! Ten times the rate that the server admits, from producers that do not wait: what there is no room for is dropped and
//! counted. The server must go on at its rate, keep its memory, and say no quickly.
//!
//! On TCP and gRPC a server says no by giving no credit: events are held back, and nothing takes any time. Over HTTP it
//! answers 429, and the time of that answer is measured.

use std::time::Duration;

use anyhow::bail;

use crate::feed::{self, Overflow, Plan, Until};
use crate::figures::Figures;
use crate::options::{Feed, Pace, Run, WAIT_MAX};
use crate::source::Pattern;
use crate::stage::{Extra, Findings, Stage};
use crate::verify::{self, Verdict};

use super::{cart_abandonment, ms};

/// How much is sent for each event admitted.
const TIMES: u64 = 10;

pub(super) async fn perform(run: &Run) -> anyhow::Result<Figures> {
    let Pace::PerSecond(admitted) = run.pace() else {
        bail!("overload takes the rate that the server admits: --rate N")
    };
    let limit = [("limits.events_per_second", admitted.to_string())];
    let mut stage = Stage::set(run, &limit, &cart_abandonment(&run.wait.text), None).await?;
    let plan = Plan {
        pace: Pace::PerSecond(admitted * TIMES),
        overflow: Overflow::Shed,
        in_flight: in_flight(run, admitted),
        ..stage.plan(Pattern::Carts, Until::Elapsed(run.duration()))
    };
    let fed = feed::feed(&stage.target, &plan, &stage.meter).await?;
    stage.read_end()?;
    let waiting = verify::active(&stage.report().await?);
    let waits_on = run.wait.span > WAIT_MAX;
    let is_quiet = |report: &_| (waits_on || verify::active(report) == 0) && verify::pending(report) == 0;
    let (report, _) = verify::wait_for(&stage.target, &stage.before, is_quiet).await?;
    let mut verdict = Verdict::of(fed.events, &report, stage.logged()?);
    let most = admitted_at_most(admitted, fed.elapsed, run.batch);
    if fed.events > most {
        verdict.flaws.push(format!("{} events were admitted, at most {most} should be", fed.events));
    }
    let (refused, times) = stage.meter.refused();
    let time = |quantile| (!times.is_empty()).then(|| ms(Duration::from_nanos(times.value_at_quantile(quantile))));
    let (samples, _) = stage.meter.record();
    let rss_max = samples.iter().filter_map(|sample| Some(sample.usage?.rss_bytes)).max();
    let extras = vec![
        Extra::new("offered_per_s", "offered", admitted * TIMES, "events/s"),
        Extra::new("admitted_per_s", "admitted by its setting", admitted, "events/s"),
        Extra::new("goodput_per_s", "taken", (fed.events as f64 / fed.elapsed.as_secs_f64()).round(), "events/s"),
        Extra::new("refused", "refused", refused, "events"),
        Extra::new("held_back", "held back for want of room", stage.meter.held_back(), "events"),
        Extra::new("refusal_p50_ms", "time of a refusal p50", time(0.5), "ms"),
        Extra::new("refusal_p99_ms", "time of a refusal p99", time(0.99), "ms"),
        Extra::new("refusal_max_ms", "time of a refusal, longest", time(1.0), "ms"),
        Extra::new("rss_max_mb", "memory, highest", rss_max.map(|bytes| (bytes as f64 / 1e4).round() / 1e2), "MB"),
    ];
    stage.finish(Findings { fed, waiting, verdict, extras }).await
}

/// On a stream a second's worth under way at most: more would only wait at the server's door. A request waits there for
/// no longer than the server's patience anyway.
fn in_flight(run: &Run, admitted: u64) -> u64 {
    match run.feed {
        Feed::Tcp | Feed::Grpc => run.in_flight.min((admitted / u64::from(run.connections())).max(1)),
        Feed::Http => run.in_flight,
    }
}

/// The law of the server's bucket: its rate over the time, and a burst of a second, or one batch if that is more.
fn admitted_at_most(rate_per_s: u64, elapsed: Duration, batch: u64) -> u64 {
    (rate_per_s as f64 * elapsed.as_secs_f64()).ceil() as u64 + rate_per_s.max(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_admits_its_rate_and_a_burst() {
        assert_eq!(admitted_at_most(1_000, Duration::from_millis(2_500), 100), 3_500);
        assert_eq!(admitted_at_most(10, Duration::from_secs(1), 100), 110);
    }
}
