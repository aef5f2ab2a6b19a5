//! The loops that feed: open, with intended times from which latency counts (a server that stalls is charged for all that
//! should have been sent meanwhile: no coordinated omission), and closed, as fast as acknowledgements come.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::event::Encoder;
use crate::options::{Feed, Pace};
use crate::source::{Pattern, Source};
use crate::target::Target;

use super::link::{Link, LinkConfig, Overflow};
use super::meter::Meter;
use super::schedule::{Schedule, TICK, ticks_of};
use super::ticker::Ticker;
use super::underway::Underway;

/// When feeding ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After this long.
    Elapsed(Duration),
    /// When every profile has come.
    AllCame,
}

/// What is fed and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// By which feed.
    pub feed: Feed,
    /// Begins the names of producers: one name is one count of sequences.
    pub producer: String,
    /// Begins all ids and profiles.
    pub tag: String,
    /// Which events.
    pub pattern: Pattern,
    /// Of how many profiles.
    pub profiles: u64,
    /// How fast.
    pub pace: Pace,
    /// Until when.
    pub until: Until,
    /// Over how many connections.
    pub connections: u64,
    /// Events of one batch in the closed loop.
    pub batch: u64,
    /// Events unacknowledged at most, per connection.
    pub in_flight: u64,
    /// What becomes of what there is no room for.
    pub overflow: Overflow,
}

/// What feeding came to.
#[derive(Clone, Copy, Debug)]
pub struct Fed {
    /// Events acknowledged.
    pub events: u64,
    /// From the first event to the last acknowledgement.
    pub elapsed: Duration,
}

/// Feeds, and waits for the last answer.
pub async fn feed(target: &Target, plan: &Plan, meter: &Arc<Meter>) -> anyhow::Result<Fed> {
    let before = meter.events();
    let mut ready = Vec::new();
    for number in 0..plan.connections {
        let underway = Underway::new(Arc::clone(meter));
        let config = LinkConfig {
            feed: plan.feed,
            producer: format!("{}-{number}", plan.producer),
            in_flight: plan.in_flight,
            batch: plan.batch,
            overflow: plan.overflow,
            encoder: Encoder::new(&plan.tag, number),
        };
        let link = Link::connect(target, config, Arc::clone(&underway)).await.context("connecting")?;
        let source = Source::new(plan.pattern, number, plan.connections, plan.profiles);
        ready.push((link, source, underway, number));
    }
    let started = Instant::now();
    let beat = match plan.pace {
        Pace::Max => Beat::Max,
        Pace::PerSecond(rate) => Beat::PerSecond(rate, Ticker::start(started.into_std()).context("no thread")?),
    };
    let mut connections = JoinSet::new();
    for (link, source, underway, number) in ready {
        let (plan, beat) = (plan.clone(), beat.clone());
        connections.spawn(Feeder { link, source, underway, plan, number, started, beat }.run());
    }
    drop(beat);
    while let Some(ended) = connections.join_next().await {
        ended??;
    }
    Ok(Fed { events: meter.events() - before, elapsed: started.elapsed() })
}

/// When events go.
#[derive(Clone, Debug)]
enum Beat {
    /// As soon as there is room.
    Max,
    /// So many a second, at their times.
    PerSecond(u64, Ticker),
}

/// One connection and what goes over it.
struct Feeder {
    link: Link,
    source: Source,
    underway: Arc<Underway>,
    plan: Plan,
    number: u64,
    started: Instant,
    beat: Beat,
}

impl Feeder {
    /// From the first event to the last answer.
    async fn run(mut self) -> anyhow::Result<()> {
        let sent = match self.beat.clone() {
            Beat::Max => self.closed_loop().await,
            Beat::PerSecond(rate, ticker) => self.open_loop(rate, ticker).await,
        };
        sent.context("sending")?;
        self.link.finish().await.context("waiting for the last acknowledgement")
    }

    fn events_max(&self) -> u64 {
        match self.plan.until {
            Until::Elapsed(_) => u64::MAX,
            Until::AllCame => self.source.events_once(),
        }
    }

    fn ends_after(&self) -> Duration {
        match self.plan.until {
            Until::Elapsed(span) => span,
            Until::AllCame => Duration::MAX,
        }
    }

    async fn closed_loop(&mut self) -> anyhow::Result<()> {
        let mut left = self.events_max();
        while left > 0 && self.started.elapsed() < self.ends_after() {
            let count = self.plan.batch.min(left);
            left -= count;
            let events = self.source.next(count);
            // Waiting for room is no latency of the server: the time starts as the batch goes in.
            self.link.ready(count).await?;
            self.underway.begin(self.link.next_sequence() + count - 1, count, Instant::now());
            self.link.send(&events).await?;
        }
        Ok(())
    }

    async fn open_loop(&mut self, rate: u64, mut ticker: Ticker) -> anyhow::Result<()> {
        let schedule = Schedule::new(rate, self.number, self.plan.connections);
        let ticks_max = ticks_of(self.ends_after());
        let (mut sent, events_max) = (0, self.events_max());
        for tick in 0..ticks_max {
            ticker.reaches(tick).await;
            let due = schedule.due_within(tick + 1).min(events_max);
            let count = due - sent;
            if count > 0 {
                let intended = self.started + TICK * u32::try_from(tick).context("too long a run")?;
                self.offer(count, intended).await?;
                sent = due;
            }
            if sent == events_max {
                break;
            }
        }
        Ok(())
    }

    /// Sends events that were due at `intended`, or drops them where the plan says so and there is no room.
    async fn offer(&mut self, count: u64, intended: Instant) -> anyhow::Result<()> {
        let events = self.source.next(count);
        if self.plan.overflow == Overflow::Shed && self.link.room() < count {
            self.underway.held_back(count);
            return Ok(());
        }
        self.underway.begin(self.link.next_sequence() + count - 1, count, intended);
        self.link.send(&events).await
    }
}
