//! Webhooks, and then mails, into receivers of our own: how many a second arrive, and that each arrives once.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::{Instant, sleep};

use crate::feed::{self, Fed, Plan, Until};
use crate::figures::Figures;
use crate::options::Run;
use crate::sink::Sink;
use crate::source::Pattern;
use crate::stage::{Extra, Findings, Stage};
use crate::verify::{self, Received, Verdict};

/// How often receivers are looked at.
const POLL: Duration = Duration::from_millis(50);
/// Longest time without any delivery.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn perform(run: &Run) -> anyhow::Result<Figures> {
    let (hooks, mails) = (Sink::webhook().await?, Sink::smtp().await?);
    let resources = include_str!("delivery.yaml")
        .replace("WEBHOOK", &hooks.address.to_string())
        .replace("SMTP_PORT", &mails.address.port().to_string());
    let mut stage = Stage::set(run, &[], &resources, Some("deliveries")).await?;
    let each = run.profiles();
    let first = phase(&stage, "order", Pattern::Each("order"));
    let fed_hooks = feed::feed(&stage.target, &first, &stage.meter).await?;
    receive(&stage, &hooks, 0, each).await?;
    stage.meter.mark("mails");
    let second = phase(&stage, "parcel", Pattern::Addressed("parcel"));
    let fed_mails = feed::feed(&stage.target, &second, &stage.meter).await?;
    receive(&stage, &mails, each, each).await?;
    stage.read_end()?;
    let is_quiet = |report: &_| verify::active(report) == 0 && verify::pending(report) == 0;
    let (report, _) = verify::wait_for(&stage.target, &stage.before, is_quiet).await?;
    let (got_hooks, got_mails) = (hooks.counter.received(), mails.counter.received());
    let both = Received { all: got_hooks.all + got_mails.all, distinct: got_hooks.distinct + got_mails.distinct };
    let mut verdict = Verdict::of(fed_hooks.events + fed_mails.events, &report, Some(both));
    verdict.expect("webhooks", each, got_hooks.distinct);
    verdict.expect("mails", each, got_mails.distinct);
    let rate = |sink: &Sink| sink.counter.per_second().map(f64::round);
    let extras = vec![
        Extra::new("webhooks_per_s", "webhooks", rate(&hooks), "a second"),
        Extra::new("mails_per_s", "mails", rate(&mails), "a second"),
        Extra::new("webhooks", "webhooks received", got_hooks.all, ""),
        Extra::new("mails", "mails received", got_mails.all, ""),
    ];
    let fed = Fed { events: fed_hooks.events + fed_mails.events, elapsed: fed_hooks.elapsed + fed_mails.elapsed };
    stage.finish(Findings { fed, waiting: verify::active(&report), verdict, extras }).await
}

/// A plan with producers and profiles of its own.
fn phase(stage: &Stage, name: &str, pattern: Pattern) -> Plan {
    let plan = stage.plan(pattern, Until::AllCame);
    Plan { producer: format!("{}{name}", plan.producer), tag: format!("{}{name}-", plan.tag), ..plan }
}

/// Waits until a receiver has so many, after `before` others.
async fn receive(stage: &Stage, sink: &Sink, before: u64, count: u64) -> anyhow::Result<()> {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        let received = sink.counter.received().all;
        stage.meter.reach(before + received);
        if received >= count {
            return Ok(());
        }
        if received > seen {
            (seen, since) = (received, Instant::now());
        }
        ensure!(since.elapsed() < PATIENCE, "{received} of {count} deliveries came, and then none for a minute");
        sleep(POLL).await;
    }
}
