//! What a run does: each scenario publishes, feeds, waits, verifies, and says what only it measures.

mod delivery;
mod flow;
mod overload;
mod reshard;
mod restart;
mod timers;
mod waiting;

use clap::ValueEnum;

use crate::figures::Figures;
use crate::options::Run;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Scenario {
    /// Enter, condition, wait, wait for an event, message; a purchase ends half of the instances
    CartAbandonment,
    /// Events that enter no journey
    Ingest,
    /// Profiles parked in waits: bytes of memory for each
    Waiting,
    /// Timers due at one instant, or within seconds: how many a second fire, and how late
    Timers,
    /// Profiles wait, the server is killed: time until it is ready again, and until its first acknowledgement
    Restart,
    /// From 1 shard to 4 and then 2 under load: longest pause of any profile
    Reshard,
    /// cart_abandonment with a large share of all events for one profile
    HotProfile,
    /// Ten times the rate that the server admits: what it takes, its memory, how soon it refuses
    Overload,
    /// Webhooks and then mails into receivers of its own, over real sockets
    Delivery,
}

impl Scenario {
    /// As written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::CartAbandonment => "cart_abandonment",
            Self::Ingest => "ingest",
            Self::Waiting => "waiting",
            Self::Timers => "timers",
            Self::Restart => "restart",
            Self::Reshard => "reshard",
            Self::HotProfile => "hot_profile",
            Self::Overload => "overload",
            Self::Delivery => "delivery",
        }
    }
}

/// Performs a run.
pub async fn perform(run: &Run) -> anyhow::Result<Figures> {
    match run.scenario {
        Scenario::CartAbandonment | Scenario::Ingest | Scenario::HotProfile => flow::perform(run).await,
        Scenario::Waiting => waiting::perform(run).await,
        Scenario::Timers => timers::perform(run).await,
        Scenario::Restart => restart::perform(run).await,
        Scenario::Reshard => reshard::perform(run).await,
        Scenario::Overload => overload::perform(run).await,
        Scenario::Delivery => delivery::perform(run).await,
    }
}

/// The journey of an abandoned cart, with waits this long.
fn cart_abandonment(wait: &str) -> String {
    include_str!("scenario/cart_abandonment.yaml").replace("WAIT", wait)
}

/// A duration in milliseconds, to the microsecond.
fn ms(span: std::time::Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}

/// A duration in seconds, to the millisecond.
fn seconds(span: std::time::Duration) -> f64 {
    (span.as_secs_f64() * 1e3).round() / 1e3
}
