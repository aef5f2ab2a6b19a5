//! Timers due at one instant, or evenly within seconds: how many a second fire *durably*, and how late.
//!
//! The server's report is looked at again and again. A report shows only what is durable, so a timer counts as fired
//! when the firing is committed and somebody can see it: lateness here is an upper bound, by at most one look.

use std::time::Duration;

use anyhow::ensure;
use hdrhistogram::Histogram;
use sojourn::domain::ids::Millis;
use sojourn::runtime::view::Report;
use tokio::time::{Instant, sleep, sleep_until};

use crate::feed::meter::{histogram, record};
use crate::feed::{self, Until};
use crate::figures::Figures;
use crate::machine::wall_clock_ms;
use crate::options::Run;
use crate::source::Pattern;
use crate::stage::{Extra, Findings, Stage};
use crate::verify::{self, Verdict};

use super::{ms, seconds};

const RESOURCES: &str = include_str!("timers.yaml");
/// Rest between two looks.
const POLL: Duration = Duration::from_millis(10);
/// The first look comes so long before the first timer is due: none may have fired.
const BEFORE: Duration = Duration::from_millis(200);
/// Longest time from the last due instant until all have fired.
const PATIENCE: Duration = Duration::from_secs(300);

/// What one look saw: so long after the first due instant, so many had fired.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Duration,
    fired: u64,
}

pub(super) async fn perform(run: &Run) -> anyhow::Result<Figures> {
    let mut stage = Stage::set(run, &[], RESOURCES, Some("timers")).await?;
    let (count, span) = (run.profiles(), Duration::from_secs(run.within));
    let first_due = Instant::now() + run.due();
    let first_due_wall = Millis(wall_clock_ms()).plus(i64::try_from(run.due().as_millis())?);
    let plan = stage.plan(Pattern::EachDue(first_due_wall, run.within * 1_000), Until::AllCame);
    let fed = feed::feed(&stage.target, &plan, &stage.meter).await?;
    let waiting = verify::active(&stage.report().await?);
    ensure!(Instant::now() + BEFORE < first_due, "feeding took longer than until the timers are due: give --due S");
    sleep_until(first_due - BEFORE).await;
    let cpu_before = stage.reading()?.usage;
    let early = exited(&stage.report().await?);
    let is_early = Instant::now() < first_due && early > 0;
    sleep_until(first_due).await;
    stage.meter.mark("due");
    let looks = watch(&stage, count, first_due, span).await?;
    stage.read_end()?;
    let report = stage.report().await?;
    let cpu_after = stage.reading()?.usage;
    let mut verdict = Verdict::of(fed.events, &report, stage.logged()?);
    verdict.expect("timers fired", count, exited(&report));
    verdict.expect("profiles waiting before", count, waiting);
    if is_early {
        verdict.flaws.push(format!("{early} timers fired before they were due"));
    }
    let all_after = looks.last().map_or(Duration::ZERO, |look| look.at);
    let late = lateness(&looks, count, span);
    let late_ms = |quantile| ms(Duration::from_nanos(late.value_at_quantile(quantile)));
    let cpu = cpu_before.zip(cpu_after).map(|(before, after)| (after.cpu_s - before.cpu_s) * 1e6 / count as f64);
    let extras = vec![
        Extra::new("timers", "timers", count, ""),
        Extra::new("timers_per_s", "fired and committed", (count as f64 / all_after.as_secs_f64()).round(), "timers/s"),
        Extra::new("all_fired_s", "all fired after", seconds(all_after), "s"),
        Extra::new("late_p50_ms", "lateness p50", late_ms(0.5), "ms"),
        Extra::new("late_p99_ms", "lateness p99", late_ms(0.99), "ms"),
        Extra::new("late_p999_ms", "lateness p99.9", late_ms(0.999), "ms"),
        Extra::new("late_max_ms", "lateness, highest", ms(Duration::from_nanos(late.max())), "ms"),
        Extra::new("timer_cpu_s_per_million", "CPU per million timers", cpu.map(|s| (s * 100.0).round() / 100.0), "s"),
    ];
    stage.finish(Findings { fed, waiting: 0, verdict, extras }).await
}

/// Looks until all have fired.
async fn watch(stage: &Stage, count: u64, first_due: Instant, span: Duration) -> anyhow::Result<Vec<Look>> {
    let mut looks = Vec::new();
    loop {
        let fired = exited(&stage.report().await?);
        let at = first_due.elapsed();
        stage.meter.reach(fired);
        looks.push(Look { at, fired });
        if fired >= count {
            return Ok(looks);
        }
        ensure!(at < span + PATIENCE, "{fired} of {count} timers had fired {} s after they were due", at.as_secs());
        sleep(POLL).await;
    }
}

fn exited(report: &Report) -> u64 {
    report.journeys.values().flat_map(|journey| journey.exited.values()).sum()
}

/// Lateness of each timer, in nanoseconds: from its due instant to the look that first saw it among the fired. Timers
/// fire in the order in which they are due.
fn lateness(looks: &[Look], count: u64, span: Duration) -> Histogram<u64> {
    let mut late = histogram();
    let mut seen = 0;
    for look in looks {
        // Dues within one look are near each other: a thousand pieces show their spread.
        let fired = look.fired.min(count);
        let step = ((fired.saturating_sub(seen)) / 1_000).max(1);
        while seen < fired {
            let piece = step.min(fired - seen);
            let due = span.mul_f64(seen as f64 / count as f64);
            record(&mut late, look.at.saturating_sub(due), piece);
            seen += piece;
        }
    }
    late
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(looks: &[(u64, u64)], count: u64, span_ms: u64, quantile: f64, expected_ms: f64) {
        let looks: Vec<_> =
            looks.iter().map(|(at, fired)| Look { at: Duration::from_millis(*at), fired: *fired }).collect();
        let late = lateness(&looks, count, Duration::from_millis(span_ms));
        assert_eq!(late.len(), count);
        let found = late.value_at_quantile(quantile) as f64 / 1e6;
        assert!((found - expected_ms).abs() <= expected_ms * 0.01 + 0.001, "{found} ms, not {expected_ms}");
    }

    #[test]
    fn lateness_is_from_the_due_instant_to_the_look_that_saw_it() {
        check(&[(0, 0), (10, 50), (20, 100)], 100, 0, 0.5, 10.0);
        check(&[(0, 0), (10, 50), (20, 100)], 100, 0, 0.99, 20.0);
        // Due at 0, 10, …, 990 ms and each seen 5 ms later.
        let looks: Vec<_> = (0..100).map(|n| (n * 10 + 5, n + 1)).collect();
        check(&looks, 100, 1_000, 0.5, 5.0);
        check(&looks, 100, 1_000, 1.0, 5.0);
    }
}
