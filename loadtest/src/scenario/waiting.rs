//! Profiles parked in a long wait: how much memory each takes.

use crate::feed::{self, Until};
use crate::figures::Figures;
use crate::options::Run;
use crate::source::Pattern;
use crate::stage::{Findings, Stage};
use crate::verify::{self, Verdict};

/// Everyone enters and waits for 30 days.
pub(super) const RESOURCES: &str = include_str!("waiting.yaml");

pub(super) async fn perform(run: &Run) -> anyhow::Result<Figures> {
    let mut stage = Stage::set(run, &[], RESOURCES, None).await?;
    let plan = stage.plan(Pattern::EachCart, Until::AllCame);
    let fed = feed::feed(&stage.target, &plan, &stage.meter).await?;
    let report = stage.report().await?;
    stage.read_end()?;
    let waiting = verify::active(&report);
    let mut verdict = Verdict::of(fed.events, &report, stage.logged()?);
    verdict.expect("profiles waiting", run.profiles(), waiting);
    stage.finish(Findings { fed, waiting, verdict, extras: Vec::new() }).await
}
