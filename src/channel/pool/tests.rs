//! Deliveries of one surface against senders that fail, wait and hang.

use super::*;
use crate::channel::attempt::pause_before;
use crate::channel::testing::{Reports, context, delivery_id, failed_because, job, pool, webhook_surface, with_row};
use crate::domain::journey::program::Channel;
use crate::domain::surface::Network;

/// Does what the recipient of the row says.
struct Scripted;

impl Sender for Scripted {
    const IN_FLIGHT_MAX: usize = 2;

    fn build(surface: &Surface) -> Result<Self, String> {
        if surface.retry_for_ms == 1 { Err("it is broken".to_owned()) } else { Ok(Self) }
    }

    fn idempotence(surface: &Surface) -> Idempotence {
        Idempotence::Unkeyed(surface.in_doubt)
    }

    async fn attempt(&self, job: &Job, announcement: &Announcement) -> Attempt {
        match job.row.recipient.as_str() {
            "panic" => panic!("as told"),
            "hang" => std::future::pending().await,
            "later" => Attempt::Again { reason: "later".to_owned(), not_before: Some(Duration::from_secs(3_600)) },
            "started, then refused" => match announcement.started().await {
                Ok(()) => Attempt::again("refused"),
                Err(ended) => ended,
            },
            _ => Attempt::Sent,
        }
    }
}

fn told(n: u128, what: &str, surface: &Arc<Surface>) -> Job {
    with_row(&job(n, Channel::Webhook, Some(surface)), |row| row.recipient = what.into())
}

fn surface(in_doubt: InDoubt) -> Arc<Surface> {
    let mut surface = (*webhook_surface("http://x/", None, Network::Public)).clone();
    surface.in_doubt = in_doubt;
    Arc::new(surface)
}

#[tokio::test]
async fn a_panic_is_an_uncertain_attempt() {
    for (in_doubt, expected) in [
        (InDoubt::Hold, DeliveryOutcome::InDoubt { reason: "the sender panicked".to_owned() }),
        (InDoubt::PreferLoss, DeliveryOutcome::Failed { reason: "counted as lost: the sender panicked".to_owned() }),
    ] {
        let reports = Reports::new();
        let (pool, _stop) = pool::<Scripted>(&reports);
        pool.offer(told(1, "panic", &surface(in_doubt))).expect("room");
        assert_eq!(reports.wait(delivery_id(1), 1).await, [expected]);
    }
}

/// Ten deliveries that wait an hour leave both workers free.
#[tokio::test]
async fn waiting_deliveries_occupy_no_worker() {
    let reports = Reports::new();
    let (pool, _stop) = pool::<Scripted>(&reports);
    let surface = surface(InDoubt::Hold);
    for n in 1..=10 {
        pool.offer(told(n, "later", &surface)).expect("room");
    }
    pool.offer(told(11, "send", &surface)).expect("room");
    assert_eq!(reports.wait(delivery_id(11), 1).await, [DeliveryOutcome::Sent]);
    assert!((1..=10).all(|n| reports.outcomes(delivery_id(n)).is_empty()));
    assert_eq!(pool.room(), SURFACE_QUEUE_MAX - 10);
}

#[tokio::test]
async fn the_pause_is_the_longer_of_backoff_and_request_within_the_horizon() {
    let reports = Reports::new();
    let surface = surface(InDoubt::Hold);
    let pause = async |pause: fn(u32, f64) -> Duration, asked: u64, age_ms: i64| {
        let (context, _stop) = context(&reports);
        let context = Context { pause, ..context };
        let job = with_row(&job(1, Channel::Webhook, Some(&surface)), |row| {
            row.first_attempt_at = Some(row.decided_at.plus(-age_ms));
        });
        let (queue, mut jobs) = queue(1);
        assert!(queue.offer(job).is_ok());
        let delivery = Delivery::new(jobs.recv().await.expect("job"), &context.clock);
        let before = Instant::now();
        let keyed = (&*surface, Idempotence::Keyed);
        let asked = Some(Duration::from_secs(asked));
        let Ended::Again(waiting) = again(delivery, keyed, &context, "later", asked).await else {
            panic!("it is not retried")
        };
        (waiting.due - before).as_secs()
    };
    assert_eq!(pause(|_, _| Duration::from_secs(5), 0, 0).await, 5);
    assert_eq!(pause(|_, _| Duration::from_secs(5), 120, 0).await, 120);
    assert_eq!(pause(|_, _| Duration::from_secs(500), 120, 0).await, 500);
    assert_eq!(pause(|_, _| Duration::ZERO, 999_999_999, 86_340_000).await, 60);
    assert!(pause(pause_before, 0, 0).await < 1);
}

#[tokio::test]
async fn a_broken_surface_is_tried_until_the_horizon_ends() {
    let reports = Reports::new();
    let (pool, _stop) = pool::<Scripted>(&reports);
    let mut broken = (*surface(InDoubt::Hold)).clone();
    broken.retry_for_ms = 1;
    pool.offer(told(1, "send", &Arc::new(broken))).expect("room");
    let outcomes = reports.wait(delivery_id(1), 1).await;
    let reason = failed_because(&outcomes[0]);
    assert!(reason.ends_with("surface 'hook' can't be used: it is broken"), "{reason}");
}

#[tokio::test]
async fn without_a_surface_a_delivery_fails() {
    let reports = Reports::new();
    let (pool, _stop) = pool::<Scripted>(&reports);
    pool.offer(job(1, Channel::Webhook, None)).expect("room");
    let outcomes = reports.wait(delivery_id(1), 1).await;
    assert_eq!(failed_because(&outcomes[0]), "surface '' is not published");
}

#[tokio::test]
async fn a_full_queue_gives_the_job_back() {
    let reports = Reports::new();
    let (pool, _stop) = pool::<Scripted>(&reports);
    let surface = surface(InDoubt::Hold);
    for n in 0..SURFACE_QUEUE_MAX {
        pool.offer(told(n as u128, "hang", &surface)).expect("room");
    }
    assert_eq!(pool.room(), 0);
    let refused = pool.offer(told(u128::MAX, "hang", &surface)).expect_err("full");
    assert_eq!(refused.row.id, delivery_id(u128::MAX));
}

#[tokio::test]
async fn a_stop_abandons_what_hangs_and_what_waits() {
    let reports = Reports::new();
    let (pool, stop) = pool::<Scripted>(&reports);
    let surface = surface(InDoubt::Hold);
    pool.offer(told(1, "hang", &surface)).expect("room");
    pool.offer(told(2, "later", &surface)).expect("room");
    pool.offer(told(3, "started, then refused", &surface)).expect("room");
    // The third is taken after the first two.
    reports.wait(delivery_id(3), 2).await;
    stop.send_replace(Some(Instant::now()));
    pool.take_task().expect("task").await.expect("no panic");
    assert!(pool.offer(told(4, "send", &surface)).is_err());
    assert!(reports.outcomes(delivery_id(1)).is_empty());
    assert!(reports.outcomes(delivery_id(2)).is_empty());
    let failed = DeliveryOutcome::AttemptFailed { reason: "refused".to_owned() };
    assert_eq!(reports.outcomes(delivery_id(3))[..2], [DeliveryOutcome::AttemptStarted, failed]);
}
