//! Profiles wait, the server is killed right after its last acknowledgement: how long until it takes events again, until
//! the first is acknowledged, and until all partitions have acknowledged some. Then everybody must still be there.

use anyhow::ensure;

use crate::feed::{self, Plan, Until};
use crate::figures::Figures;
use crate::options::{Pace, Run};
use crate::source::Pattern;
use crate::stage::{Extra, Findings, Stage};
use crate::verify::{self, Verdict};

use super::seconds;
use super::waiting::RESOURCES;

/// Profiles that come after the start: so many that each partition gets some.
const AFTERWARDS: u64 = 20_000;

pub(super) async fn perform(run: &Run) -> anyhow::Result<Figures> {
    ensure!(run.connect.is_none(), "restart kills its server: it takes one of its own");
    let mut stage = Stage::set(run, &[], RESOURCES, None).await?;
    let plan = stage.plan(Pattern::EachCart, Until::AllCame);
    let fed = feed::feed(&stage.target, &plan, &stage.meter).await?;
    stage.read_end()?;
    let waiting = verify::active(&stage.report().await?);
    stage.meter.mark("killed");
    stage.meter.follow(None);
    let started = stage.target.kill_and_start().await?;
    stage.meter.follow(stage.target.process());
    stage.meter.mark("ready");
    let after = |name: &str, profiles| Plan {
        producer: name.to_owned(),
        tag: format!("{name}-"),
        profiles,
        pace: Pace::Max,
        connections: 1,
        ..plan.clone()
    };
    let one = feed::feed(&stage.target, &after("first", 1), &stage.meter).await?;
    let first_ack = started.at.elapsed();
    let many = feed::feed(&stage.target, &after("more", AFTERWARDS), &stage.meter).await?;
    let everywhere = started.at.elapsed();
    let report = stage.report().await?;
    let rss = stage.reading()?.usage.map(|usage| usage.rss_bytes);
    let mut verdict = Verdict::of(fed.events + one.events + many.events, &report, stage.logged()?);
    verdict.expect("profiles waiting before", run.profiles(), waiting);
    verdict.expect("profiles waiting afterwards", run.profiles() + 1 + AFTERWARDS, verify::active(&report));
    let extras = vec![
        Extra::new("ready_s", "ready after kill -9", seconds(started.ready), "s"),
        Extra::new("first_ack_s", "first acknowledgement after kill -9", seconds(first_ack), "s"),
        Extra::new("all_partitions_s", "all partitions acknowledged after kill -9", seconds(everywhere), "s"),
        Extra::new("rss_after_mb", "memory after the start", rss.map(|bytes| (bytes as f64 / 1e4).round() / 1e2), "MB"),
    ];
    stage.finish(Findings { fed, waiting, verdict, extras }).await
}
