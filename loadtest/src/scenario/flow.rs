//! Events at a pace for a time: `cart_abandonment`, `ingest`, `hot_profile`. Then everything runs to its end.

use crate::feed::{self, Until};
use crate::figures::Figures;
use crate::options::{Run, WAIT_MAX};
use crate::source::Pattern;
use crate::stage::{Extra, Findings, Stage};
use crate::verify::{self, Verdict};

use super::{Scenario, cart_abandonment, seconds};

pub(super) async fn perform(run: &Run) -> anyhow::Result<Figures> {
    let (resources, pattern) = match run.scenario {
        Scenario::Ingest => (include_str!("ingest.yaml").to_owned(), Pattern::EachCart),
        Scenario::HotProfile => (cart_abandonment(&run.wait.text), Pattern::HotCarts(run.hot)),
        _ => (cart_abandonment(&run.wait.text), Pattern::Carts),
    };
    let mut stage = Stage::set(run, &[], &resources, None).await?;
    let plan = stage.plan(pattern, Until::Elapsed(run.duration()));
    let fed = feed::feed(&stage.target, &plan, &stage.meter).await?;
    stage.read_end()?;
    let waiting = verify::active(&stage.report().await?);
    stage.meter.mark("fed");
    let waits_on = run.wait.span > WAIT_MAX;
    let is_quiet = |report: &_| (waits_on || verify::active(report) == 0) && verify::pending(report) == 0;
    let (report, quiet_after) = verify::wait_for(&stage.target, &stage.before, is_quiet).await?;
    let mut verdict = Verdict::of(fed.events, &report, stage.logged()?);
    if run.scenario != Scenario::Ingest && verdict.entered == 0 {
        verdict.flaws.push("nobody entered the journey".to_owned());
    }
    let extras = vec![Extra::new("quiet_after_s", "all quiet after the last event", seconds(quiet_after), "s")];
    stage.finish(Findings { fed, waiting, verdict, extras }).await
}
