//! Profiles parked in a long wait: how much memory each takes once snapshots are written.

use crate::feed::{self, Until};
use crate::figures::Figures;
use crate::options::Run;
use crate::source::Pattern;
use crate::stage::{Extra, Findings, Stage};
use crate::verify::{self, Verdict};

/// Everyone enters and waits for 30 days.
pub(super) const RESOURCES: &str = include_str!("waiting.yaml");

pub(super) async fn perform(run: &Run) -> anyhow::Result<Figures> {
    let mut stage = Stage::set(run, &[], RESOURCES, None).await?;
    let plan = stage.plan(Pattern::EachCart, Until::AllCame);
    let fed = feed::feed(&stage.target, &plan, &stage.meter).await?;
    let at_once = stage.reading()?.usage;
    let rest = stage.rest().await?;
    let report = stage.report().await?;
    stage.read_end()?;
    let waiting = verify::active(&report);
    let mut verdict = Verdict::of(fed.events, &report, stage.logged()?);
    verdict.expect("profiles waiting", run.profiles(), waiting);
    let fed_rss_mb = at_once.map(|usage| (usage.rss_bytes as f64 / 1e4).round() / 1e2);
    let extras = vec![
        Extra::new("rest_s", "at rest after the last event", (rest.as_secs_f64() * 1e2).round() / 1e2, "s"),
        Extra::new("fed_rss_mb", "memory right after the last event", fed_rss_mb, "MB"),
    ];
    stage.finish(Findings { fed, waiting, verdict, extras }).await
}
