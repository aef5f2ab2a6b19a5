//! What is done now and then while serving: gauges are read, metrics tidied, mended surfaces told to the channels.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use crate::channel::dispatch::Dispatcher;
use crate::report::archive::Archive;
use crate::runtime::engine::Engine;
use crate::runtime::view::{Report, ShardsView};

/// How old a gauge may be: below the interval of any scraper.
const INTERVAL: Duration = Duration::from_secs(5);

/// Who is looked after.
#[derive(Debug)]
pub struct Upkeep {
    /// Asked for its figures.
    pub engine: Engine,
    /// Told of surfaces.
    pub dispatcher: Arc<Dispatcher>,
    /// Asked for its figures.
    pub archive: Arc<Archive>,
    /// Tidied: histograms grow until somebody reads them.
    pub metrics: PrometheusHandle,
}

impl Upkeep {
    /// Runs until `shutdown`. Cancel safe at every point: it only reads and tells.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = self.look_after() => {}
        }
    }

    async fn look_after(&self) {
        let mut log_is_complete = false;
        let mut catalog = None;
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // ORDER: until the log has taken every row that was in the outbox at the start it must know the lines it
            // found in its file, or it would write them again. Rows are offered some at a time, after all are open.
            if !log_is_complete && self.engine.log_has_its_rows().await.is_ok_and(|complete| complete) {
                self.dispatcher.log().recovered_rows_offered();
                log_is_complete = true;
            }
            let current = self.engine.catalog();
            if catalog != Some(current.version) {
                catalog = Some(current.version);
                for surface in current.surfaces.values() {
                    self.dispatcher.surface_published(surface);
                }
                self.dispatcher.throttling_published(current.throttling(), current.version);
            }
            // An engine that is stopping ends no tests; the next start does.
            let _ = self.engine.end_idle_tests().await;
            if let Ok(shards) = self.engine.shards().await {
                show_shards(&shards);
            }
            if let Ok(report) = self.engine.report(None).await {
                show_report(&report);
            }
            self.show_latency();
            self.show_archive();
            self.metrics.run_upkeep();
        }
    }

    fn show_latency(&self) {
        let acks = self.engine.ack_latency();
        for (quantile, seconds) in [("0.5", acks.p50), ("0.99", acks.p99), ("0.999", acks.p999), ("1", acks.max)] {
            gauge!("sojourn_ack_seconds", "quantile" => quantile).set(seconds);
        }
    }

    fn show_archive(&self) {
        let stats = self.archive.stats();
        gauge!("sojourn_archive_bytes").set(stats.file_bytes as f64);
        gauge!("sojourn_archive_lag_bytes").set(stats.lag_bytes as f64);
        gauge!("sojourn_archive_lag_seconds").set(stats.lag_ms as f64 / 1_000.0);
        counter!("sojourn_archive_failures_total").absolute(stats.failure_count);
        counter!("sojourn_archive_damages_total").absolute(stats.damage_count);
    }
}

fn show_shards(view: &ShardsView) {
    gauge!("sojourn_shards").set(f64::from(view.count));
    for shard in &view.shards {
        let label = shard.shard.to_string();
        gauge!("sojourn_partitions", "shard" => label.clone()).set(f64::from(shard.partitions));
        gauge!("sojourn_profiles", "shard" => label.clone()).set(shard.profiles as f64);
        gauge!("sojourn_timers", "shard" => label.clone()).set(shard.timers as f64);
        gauge!("sojourn_mailbox_events", "shard" => label).set(shard.mailbox as f64);
    }
}

fn show_report(report: &Report) {
    counter!("sojourn_events_total").absolute(report.events);
    for (name, journey) in &report.journeys {
        counter!("sojourn_instances_entered_total", "journey" => name.clone()).absolute(journey.entered);
        gauge!("sojourn_instances_active", "journey" => name.clone()).set(journey.active as f64);
        gauge!("sojourn_instances_held", "journey" => name.clone()).set(journey.held as f64);
        gauge!("sojourn_entrants_held", "journey" => name.clone()).set(journey.held_entrants as f64);
        for (reason, count) in &journey.failed {
            let labels = [("journey", name.clone()), ("reason", reason.clone())];
            counter!("sojourn_instances_failed_total", &labels).absolute(*count);
        }
        for (reason, count) in &journey.exited {
            let labels = [("journey", name.clone()), ("reason", reason.clone())];
            counter!("sojourn_instances_exited_total", &labels).absolute(*count);
        }
        for (reason, count) in &journey.discarded {
            let labels = [("journey", name.clone()), ("reason", reason.clone())];
            counter!("sojourn_entries_discarded_total", &labels).absolute(*count);
        }
        let in_doubt: u64 = journey.messages.values().map(|m| m.in_doubt).sum();
        gauge!("sojourn_deliveries_in_doubt", "journey" => name.clone()).set(in_doubt as f64);
    }
}
