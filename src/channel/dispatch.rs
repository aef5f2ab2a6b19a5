//! Hands deliveries to the channel and surface they leave by. Owns the pools and the log; decides nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use smol_str::SmolStr;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use super::attempt::pause_before;
use super::call::{CallBounds, CallPool, CallTls, Limits, pause_before_retry};
use super::log::{LogChannel, LogFile};
use super::metrics::DeliveryMetrics;
use super::pool::{Context, Pool};
use super::smtp::SmtpSender;
use super::webhook::WebhookSender;
use crate::domain::endpoint::Throttling;
use crate::domain::ids::{CatalogVersion, Millis};
use crate::domain::journey::program::Channel;
use crate::domain::limits::{CALLS_IN_FLIGHT_MAX, SURFACE_QUEUE_MAX};
use crate::domain::surface::Surface;
use crate::runtime::delivery::{CallJob, DeliverySink, Job, ReportSink};

/// Engine time now, read when a delivery is handed over, to know how old its journaled first attempt is. On the
/// events' clock give a constant [`Millis::MIN`]: event time says nothing about a provider's patience, and every
/// horizon then counts from the hand-over.
pub type EngineClock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// Takes every delivery of the engine.
pub struct Dispatcher {
    runtime: Handle,
    log: LogChannel,
    /// One pool a surface; grows only with the number of surfaces published.
    pools: RwLock<HashMap<(Channel, SmolStr), Pool>>,
    /// One pool an action; grows only with the number of actions published.
    call_pools: RwLock<HashMap<SmolStr, CallPool>>,
    call_limits: Arc<Limits>,
    call_tls: CallTls,
    webhook: Context,
    email: Context,
    call: Context,
    log_metrics: DeliveryMetrics,
    /// `None` while deliveries are taken. The lock makes "stopped" and "a new pool" exclude each other.
    stop: Mutex<watch::Sender<Option<Instant>>>,
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").field("surfaces", &self.pools.read().len()).finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// Starts the channels on `runtime`, with at most `in_flight_max` attempts at once per surface, and calls that are made with
    /// `call_tls`. Install the metrics recorder before.
    pub fn start(
        runtime: &Handle,
        log: LogFile,
        reports: &Arc<dyn ReportSink>,
        clock: &EngineClock,
        in_flight_max: usize,
        call_tls: CallTls,
    ) -> Arc<Self> {
        let (stop, stopping) = watch::channel(None);
        let context = |channel| Context {
            reports: Arc::clone(reports),
            metrics: DeliveryMetrics::new(channel),
            clock: Arc::clone(clock),
            in_flight_max: in_flight_max.max(1),
            pause: pause_before,
            stop: stopping.clone(),
        };
        let log_metrics = DeliveryMetrics::new(Channel::Log);
        let log = LogChannel::start(runtime, log, Arc::clone(reports), log_metrics.clone(), stopping.clone());
        Arc::new(Self {
            runtime: runtime.clone(),
            log,
            pools: RwLock::new(HashMap::new()),
            call_pools: RwLock::new(HashMap::new()),
            call_limits: Arc::new(Limits::new()),
            call_tls,
            webhook: context(Channel::Webhook),
            email: context(Channel::Email),
            call: Context {
                pause: pause_before_retry,
                in_flight_max: in_flight_max.clamp(1, CALLS_IN_FLIGHT_MAX),
                ..context(Channel::Call)
            },
            log_metrics,
            stop: Mutex::new(stop),
        })
    }

    /// The log channel, for its confirmed offset.
    pub fn log(&self) -> &LogChannel {
        &self.log
    }

    /// Uses the new settings of `surface` from the next attempt on, also for deliveries that wait for a retry. (A job
    /// brings its surface along; this is for surfaces that were mended and get no new job.)
    pub fn surface_published(&self, surface: &Arc<Surface>) {
        if let Some(pool) = self.pools.read().get(&(surface.channel(), surface.name.clone())) {
            pool.use_surface(surface);
        }
    }

    /// Counts by this throttling from now on, also for calls that wait, unless a later catalog was seen. (A call brings it along;
    /// this is for when there is no new one.)
    pub fn throttling_published(&self, throttling: Option<&Arc<Throttling>>, catalog: CatalogVersion) {
        self.call_limits.follow(throttling, catalog);
    }

    /// Allows so many calls; said once, before the first.
    pub fn bound_calls(&self, bounds: CallBounds) {
        self.call_limits.keep_to(bounds);
    }

    /// Takes no more deliveries, lets attempts in flight end within `grace` and abandons the rest. What has no final
    /// report is still in the outbox: safe to send, or in doubt if a journaled attempt was abandoned. Call it while
    /// reports are still taken.
    pub async fn stop(&self, grace: Duration) {
        let tasks: Vec<_> = {
            let stop = self.stop.lock();
            stop.send_replace(Some(Instant::now() + grace));
            let (pools, calls) = (self.pools.read(), self.call_pools.read());
            let senders = pools.values().map(Pool::take_task).chain(calls.values().map(CallPool::take_task));
            senders.chain([self.log.take_task()]).flatten().collect()
        };
        for ended in futures_util::future::join_all(tasks).await {
            if let Err(error) = ended {
                tracing::error!(%error, "a channel ended abnormally");
            }
        }
    }

    fn offer_to_pool(&self, job: Job, channel: Channel, context: &Context) -> Result<(), Job> {
        let surface = job.message.surface.clone().unwrap_or_default();
        let key = (channel, surface);
        if let Some(pool) = self.pools.read().get(&key) {
            return pool.offer(job);
        }
        // ORDER: the stop lock comes before the table's, as in `stop`.
        let stop = self.stop.lock();
        if stop.borrow().is_some() {
            return Err(job);
        }
        let mut pools = self.pools.write();
        let pool = pools.entry(key).or_insert_with(|| match channel {
            Channel::Email => Pool::start::<SmtpSender>(&self.runtime, context.clone()),
            Channel::Log | Channel::Webhook | Channel::Call => {
                Pool::start::<WebhookSender>(&self.runtime, context.clone())
            }
        });
        pool.offer(job)
    }
}

impl Dispatcher {
    fn offer_call(&self, job: CallJob) -> Result<(), CallJob> {
        if let Some(pool) = self.call_pools.read().get(&job.action.name) {
            return pool.offer(job);
        }
        // ORDER: the stop lock comes before the table's, as in `stop`.
        let stop = self.stop.lock();
        if stop.borrow().is_some() {
            return Err(job);
        }
        let mut pools = self.call_pools.write();
        let (limits, tls) = (Arc::clone(&self.call_limits), self.call_tls.clone());
        let start = || CallPool::start(&self.runtime, self.call.clone(), limits, tls);
        pools.entry(job.action.name.clone()).or_insert_with(start).offer(job)
    }
}

impl DeliverySink for Dispatcher {
    fn offer(&self, job: Job) -> Result<(), Job> {
        let (offered, metrics) = match job.row.channel {
            Channel::Log => (self.log.offer(job), &self.log_metrics),
            Channel::Webhook => (self.offer_to_pool(job, Channel::Webhook, &self.webhook), &self.webhook.metrics),
            Channel::Email => (self.offer_to_pool(job, Channel::Email, &self.email), &self.email.metrics),
            Channel::Call => unreachable!("calls are handed over as calls"),
        };
        if offered.is_err() {
            metrics.refused.increment(1);
        }
        offered
    }

    fn call(&self, job: CallJob) -> Result<(), CallJob> {
        let offered = self.offer_call(job);
        if offered.is_err() {
            self.call.metrics.refused.increment(1);
        }
        offered
    }

    fn room(&self, surface: Option<&str>, channel: Channel) -> usize {
        if channel == Channel::Log {
            return self.log.room();
        }
        let key = (channel, SmolStr::new(surface.unwrap_or_default()));
        self.pools.read().get(&key).map_or(SURFACE_QUEUE_MAX, Pool::room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::testing::{Reports, delivery_id, job, smtp_surface, webhook_surface, with_row};
    use crate::domain::effect::DeliveryOutcome;
    use crate::domain::limits::LOG_QUEUE_MAX;
    use crate::domain::surface::{InDoubt, Network};

    fn start(reports: &Arc<Reports>, directory: &std::path::Path) -> Arc<Dispatcher> {
        let log = LogFile::open(&directory.join("messages.ndjson"), 0).expect("opens");
        let clock: EngineClock = Arc::new(|| Millis::MIN);
        Dispatcher::start(&Handle::current(), log, &reports.sink(), &clock, 64, CallTls::default())
    }

    /// Spec §14: AJO's `maxHttpConnections`.
    #[tokio::test]
    async fn an_action_has_400_calls_at_once_at_most() {
        let (reports, directory) = (Reports::new(), tempfile::tempdir().expect("directory"));
        let log = LogFile::open(&directory.path().join("messages.ndjson"), 0).expect("opens");
        let clock: EngineClock = Arc::new(|| Millis::MIN);
        let dispatcher = Dispatcher::start(&Handle::current(), log, &reports.sink(), &clock, 5_000, CallTls::default());
        assert_eq!(dispatcher.webhook.in_flight_max, 5_000);
        assert_eq!((dispatcher.call.in_flight_max, CALLS_IN_FLIGHT_MAX), (400, 400));
        dispatcher.stop(Duration::ZERO).await;
    }

    #[tokio::test]
    async fn every_channel_gets_its_deliveries() {
        let (reports, directory) = (Reports::new(), tempfile::tempdir().expect("directory"));
        let dispatcher = start(&reports, directory.path());
        let private = webhook_surface("http://127.0.0.1:9/", None, Network::Public);
        let mail = smtp_surface(9, InDoubt::Hold);
        dispatcher.offer(job(1, Channel::Log, None)).expect("room");
        dispatcher.offer(job(2, Channel::Webhook, Some(&private))).expect("room");
        let to_nobody = with_row(&job(3, Channel::Email, Some(&mail)), |row| row.recipient = "nobody".into());
        dispatcher.offer(to_nobody).expect("room");
        assert_eq!(reports.wait(delivery_id(1), 1).await, [DeliveryOutcome::Sent]);
        for n in [2, 3] {
            let outcomes = reports.wait(delivery_id(n), 1).await;
            assert!(matches!(outcomes[..], [DeliveryOutcome::Failed { .. }]), "{outcomes:?}");
        }
        dispatcher.stop(Duration::from_secs(20)).await;
        assert_eq!(
            dispatcher.log().confirmed_offset(),
            std::fs::metadata(directory.path().join("messages.ndjson")).expect("file").len()
        );
    }

    #[tokio::test]
    async fn room_is_counted_per_surface() {
        let (reports, directory) = (Reports::new(), tempfile::tempdir().expect("directory"));
        reports.hold();
        let dispatcher = start(&reports, directory.path());
        let surface = webhook_surface("http://127.0.0.1:9/", None, Network::Public);
        assert_eq!(dispatcher.room(Some("hook"), Channel::Webhook), SURFACE_QUEUE_MAX);
        dispatcher.offer(job(1, Channel::Webhook, Some(&surface))).expect("room");
        dispatcher.offer(job(2, Channel::Log, None)).expect("room");
        assert_eq!(dispatcher.room(Some("hook"), Channel::Webhook), SURFACE_QUEUE_MAX - 1);
        assert_eq!(dispatcher.room(Some("other"), Channel::Webhook), SURFACE_QUEUE_MAX);
        assert_eq!(dispatcher.room(None, Channel::Log), LOG_QUEUE_MAX - 1);
    }

    #[tokio::test]
    async fn a_stopped_dispatcher_gives_every_job_back() {
        let (reports, directory) = (Reports::new(), tempfile::tempdir().expect("directory"));
        let dispatcher = start(&reports, directory.path());
        let surface = webhook_surface("http://127.0.0.1:9/", None, Network::Public);
        dispatcher.offer(job(1, Channel::Webhook, Some(&surface))).expect("room");
        reports.wait(delivery_id(1), 1).await;
        dispatcher.stop(Duration::ZERO).await;
        let other = smtp_surface(9, InDoubt::Hold);
        assert!(dispatcher.offer(job(2, Channel::Webhook, Some(&surface))).is_err());
        assert!(dispatcher.offer(job(3, Channel::Email, Some(&other))).is_err());
        assert!(dispatcher.offer(job(4, Channel::Log, None)).is_err());
    }
}
