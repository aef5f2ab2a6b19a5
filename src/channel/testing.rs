//! What the tests of channels share: a report sink that remembers, jobs, and the wiring of a pool.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use smol_str::SmolStr;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use super::metrics::DeliveryMetrics;
use super::pool::Context;
use crate::domain::content::{Escape, RenderInput, Template};
use crate::domain::effect::{DeliveryOutcome, DeliveryReport, OutboxRow, OutboxState};
use crate::domain::endpoint::Endpoint;
use crate::domain::expression::{Schemas, Type};
use crate::domain::ids::{CatalogVersion, DeliveryId, InstanceId, MessageId, Millis, NodeNo, PartitionId, VersionId};
use crate::domain::journey::action::{Action, ActionDefinition, ActionShape, BodyDefinition};
use crate::domain::journey::findings::{At, Findings, Place};
use crate::domain::journey::program::{Channel, Message};
use crate::domain::surface::{InDoubt, Network, Settings, Smtp, Surface, Tls, Webhook};
use crate::domain::value::{Map, Value};
use crate::runtime::delivery::{CallJob, Job, Recorded, ReportSink, Standing, Stopped};

/// Remembers every report; answers as told.
pub(super) struct Reports {
    seen: watch::Sender<Vec<DeliveryReport>>,
    gone: Mutex<HashSet<DeliveryId>>,
    /// While false, no report becomes durable.
    durable: watch::Sender<bool>,
}

impl Reports {
    pub(super) fn new() -> Arc<Self> {
        let (seen, durable) = (watch::Sender::new(Vec::new()), watch::Sender::new(true));
        Arc::new(Self { seen, gone: Mutex::default(), durable })
    }

    pub(super) fn sink(self: &Arc<Self>) -> Arc<dyn ReportSink> {
        Arc::clone(self) as Arc<dyn ReportSink>
    }

    pub(super) fn hold(&self) {
        self.durable.send_replace(false);
    }

    pub(super) fn release(&self) {
        self.durable.send_replace(true);
    }

    pub(super) fn cancel(&self, id: DeliveryId) {
        self.gone.lock().insert(id);
    }

    pub(super) fn outcomes(&self, id: DeliveryId) -> Vec<DeliveryOutcome> {
        self.seen.borrow().iter().filter(|report| report.id == id).map(|report| report.outcome.clone()).collect()
    }

    /// Waits until `id` has `count` reports and gives them; a test that waits for ever is ended after 20 s.
    pub(super) async fn wait(&self, id: DeliveryId, count: usize) -> Vec<DeliveryOutcome> {
        let mut seen = self.seen.subscribe();
        let enough = seen.wait_for(|reports| reports.iter().filter(|report| report.id == id).count() >= count);
        drop(tokio::time::timeout(Duration::from_secs(20), enough).await.expect("reports come").expect("open"));
        self.outcomes(id)
    }
}

impl ReportSink for Reports {
    fn report(&self, report: DeliveryReport) -> BoxFuture<'static, Result<Recorded, Stopped>> {
        let recorded = if self.gone.lock().contains(&report.id) { Recorded::RowGone } else { Recorded::Applied };
        self.seen.send_modify(|seen| seen.push(report));
        let mut durable = self.durable.subscribe();
        Box::pin(async move {
            let held = durable.wait_for(|durable| *durable).await.map(|_| ());
            held.map(|()| recorded).map_err(|_| Stopped)
        })
    }

    fn report_all(&self, reports: Vec<DeliveryReport>) -> BoxFuture<'static, Result<Vec<Recorded>, Stopped>> {
        let all: Vec<_> = reports.into_iter().map(|report| self.report(report)).collect();
        Box::pin(futures_util::future::try_join_all(all))
    }
}

pub(super) fn delivery_id(n: u128) -> DeliveryId {
    DeliveryId { partition: PartitionId(7), instance: InstanceId(n), ordinal: 0 }
}

/// A fresh job of delivery `n` with literal templates.
pub(super) fn job(n: u128, channel: Channel, surface: Option<&Arc<Surface>>) -> Job {
    job_with(n, channel, surface, ("a subject", "a body", Escape::None))
}

/// A fresh job with the given subject, body and escape.
pub(super) fn job_with(
    n: u128,
    channel: Channel,
    surface: Option<&Arc<Surface>>,
    (subject, body, escape): (&str, &str, Escape),
) -> Job {
    let template = |source: &str, escape| {
        Template::compile(source, &Schemas::default(), escape).expect("literal templates compile")
    };
    let message = Message {
        id: MessageId(1),
        name: "hello".into(),
        channel,
        surface: surface.map(|surface| surface.name.clone()),
        subject: Some(template(subject, Escape::None)),
        body: template(body, escape),
        reads: Vec::new(),
    };
    let row = OutboxRow {
        id: delivery_id(n),
        profile: "crm:4711".into(),
        version: VersionId(3),
        node: NodeNo(2),
        entry_ordinal: 0,
        message: 0,
        message_id: MessageId(1),
        channel,
        recipient: "ann@example.com".into(),
        input: RenderInput::default(),
        decided_at: Millis(1_700_000_000_123),
        state: OutboxState::Pending,
        first_attempt_at: None,
    };
    Job {
        row: Arc::new(row),
        message: Arc::new(message),
        surface: surface.cloned(),
        sender: sender(),
        standing: Standing::Fresh,
    }
}

fn sender() -> crate::runtime::delivery::Sender {
    crate::runtime::delivery::Sender { journey: "journey".into(), version: 1, node: "node".into() }
}

/// `job` with its row changed.
pub(super) fn with_row(job: &Job, change: impl FnOnce(&mut OutboxRow)) -> Job {
    let mut row = (*job.row).clone();
    change(&mut row);
    Job { row: Arc::new(row), ..job.clone() }
}

pub(super) fn webhook_surface(url: &str, secret: Option<&str>, network: Network) -> Arc<Surface> {
    Arc::new(Surface {
        name: "hook".into(),
        settings: Settings::Webhook(Webhook {
            url: url.to_owned(),
            secret: secret.map(|secret| crate::domain::surface::Secret::Inline(secret.to_owned())),
            network,
        }),
        in_doubt: InDoubt::PreferDuplicate,
        attempt_timeout_ms: 10_000,
        retry_for_ms: 86_400_000,
    })
}

pub(super) fn smtp_surface(port: u16, in_doubt: InDoubt) -> Arc<Surface> {
    Arc::new(Surface {
        name: "mail".into(),
        settings: Settings::Smtp(Smtp {
            host: "127.0.0.1".to_owned(),
            port,
            from: "Shop <shop@example.com>".to_owned(),
            tls: Tls::None,
            username: None,
            password: None,
        }),
        in_doubt,
        attempt_timeout_ms: 10_000,
        retry_for_ms: 86_400_000,
    })
}

/// What a pool needs, without pauses between attempts, and the switch that stops it.
pub(super) fn context(reports: &Arc<Reports>) -> (Context, watch::Sender<Option<Instant>>) {
    let (stop, stopping) = watch::channel(None);
    let context = Context {
        reports: reports.sink(),
        metrics: DeliveryMetrics::new(Channel::Webhook),
        clock: Arc::new(|| Millis(1_700_000_000_123)),
        in_flight_max: 64,
        pause: |_, _| Duration::ZERO,
        stop: stopping,
    };
    (context, stop)
}

/// A pool of `S` on the current runtime.
pub(super) fn pool<S: super::attempt::Sender>(
    reports: &Arc<Reports>,
) -> (super::pool::Pool, watch::Sender<Option<Instant>>) {
    let (context, stop) = context(reports);
    (super::pool::Pool::start::<S>(&Handle::current(), context), stop)
}

pub(super) fn failed_because(outcome: &DeliveryOutcome) -> &str {
    match outcome {
        DeliveryOutcome::Failed { reason } => reason,
        other => panic!("not failed: {other:?}"),
    }
}

/// A call of delivery `n` to `endpoint`: `POST …/4711/points?page=2` with one header and `{"points":2}`.
pub(super) fn call_job(n: u128, endpoint: &Endpoint, timeout_ms: i64) -> CallJob {
    let at = |text: &str| At::new(SmolStr::new(text), Place::default());
    let shape = ActionShape {
        parameters: vec![("member".into(), Type::String), ("points".into(), Type::Integer)],
        path: Some(at("/{member}/points")),
        query: vec![("page".into(), at("{points}"))],
        headers: vec![("X-Shop".into(), at("a"))],
        body: Some(BodyDefinition::Object(vec![("points".into(), BodyDefinition::Value(at("with.points")))])),
        response: vec![("level".into(), Type::String), ("points".into(), Type::Integer)],
        error_response: vec![("code".into(), Type::String)],
        ..ActionShape::default()
    };
    let action = Action::compile(&endpoint.name, &shape, &mut Findings::new(&[])).expect("compiles");
    let parameters = Map(vec![("member".into(), Value::Str("4711".into())), ("points".into(), Value::Int(2))]);
    let published = ActionDefinition { name: at("loyalty"), endpoint: Some(endpoint.clone()), shape, broken: false };
    let row = with_row(&job(n, Channel::Call, None), |row| row.input.action = parameters).row;
    CallJob {
        row,
        action: Arc::new(action),
        published: Some(Arc::new(published)),
        cappings: Arc::default(),
        throttling: None,
        catalog: CatalogVersion(1),
        timeout_ms,
        sender: sender(),
    }
}
