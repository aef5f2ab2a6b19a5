//! The way back for channels that start before the engine they report to.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::domain::effect::DeliveryReport;
use crate::runtime::delivery::{Recorded, ReportSink, Stopped};

/// A report sink to be connected later: the engine needs the dispatcher to start, and the dispatcher needs the engine
/// to report. Reports made before wait.
pub struct LateReports {
    sink: watch::Sender<Link>,
}

#[derive(Clone)]
enum Link {
    Awaited,
    Connected(Arc<dyn ReportSink>),
    Cut,
}

impl fmt::Debug for LateReports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LateReports")
    }
}

impl LateReports {
    /// Not connected yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { sink: watch::Sender::new(Link::Awaited) })
    }

    /// Sends every report to `sink`, those that waited too.
    pub fn connect(&self, sink: Arc<dyn ReportSink>) {
        self.sink.send_replace(Link::Connected(sink));
    }

    /// Lets go of the engine, which holds the dispatcher, which holds this: without it neither would ever be dropped.
    /// Reports are answered [`Stopped`] from now on. Call it when the dispatcher has stopped.
    pub fn cut(&self) {
        self.sink.send_replace(Link::Cut);
    }
}

impl LateReports {
    /// Waits for the engine; `None` if it has stopped.
    fn connected(&self) -> impl Future<Output = Option<Arc<dyn ReportSink>>> + use<> {
        let mut link = self.sink.subscribe();
        async move {
            // The guard must not live across an await.
            let link = link.wait_for(|link| !matches!(link, Link::Awaited)).await.ok()?.clone();
            match link {
                Link::Connected(sink) => Some(sink),
                Link::Awaited | Link::Cut => None,
            }
        }
    }
}

impl ReportSink for LateReports {
    fn report(&self, report: DeliveryReport) -> BoxFuture<'static, Result<Recorded, Stopped>> {
        if let Link::Connected(sink) = &*self.sink.borrow() {
            return sink.report(report);
        }
        let connected = self.connected();
        Box::pin(async move { connected.await.ok_or(Stopped)?.report(report).await })
    }

    fn report_all(&self, reports: Vec<DeliveryReport>) -> BoxFuture<'static, Result<Vec<Recorded>, Stopped>> {
        if let Link::Connected(sink) = &*self.sink.borrow() {
            return sink.report_all(reports);
        }
        let connected = self.connected();
        Box::pin(async move { connected.await.ok_or(Stopped)?.report_all(reports).await })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::channel::testing::{Reports, delivery_id};
    use crate::domain::effect::DeliveryOutcome;

    #[tokio::test]
    async fn reports_wait_for_the_engine_and_end_with_it() {
        let (late, engine) = (LateReports::new(), Reports::new());
        let sent = |n| DeliveryReport { id: delivery_id(n), outcome: DeliveryOutcome::Sent };
        let mut early = late.report(sent(1));
        assert!((&mut early).now_or_never().is_none());
        late.connect(engine.sink());
        assert_eq!(late.report(sent(2)).await, Ok(Recorded::Applied));
        assert_eq!(early.await, Ok(Recorded::Applied));
        assert_eq!(engine.outcomes(delivery_id(1)), [DeliveryOutcome::Sent]);
        late.cut();
        assert_eq!(late.report(sent(3)).await, Err(Stopped));
        assert_eq!(Arc::strong_count(&engine), 1);
    }
}
