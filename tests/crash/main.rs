//! "Nothing acknowledged is lost or done twice", tried on the built program: producers feed it over TCP and HTTP, it is
//! killed with `kill -9` at random moments, started again on the same directory, and sent again what it had not
//! acknowledged. In the end every event's effect must be there exactly once.
//!
//! `SOJOURN_CRASH_ROUNDS=N` sets the number of kills (3 otherwise), `SOJOURN_CRASH_SEED=S` the choices (printed by every
//! run; the moment of a kill within the server's work stays its own), `SOJOURN_BINARY` the program.

mod producer;
mod script;
#[path = "../support/server.rs"]
mod server;
mod sinks;
mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use producer::{Feed, Producer, Target};
use server::{Api, Server, Starting};
use sinks::{Mood, Protocol, Sink};

/// Kills unless the environment says otherwise.
const ROUNDS: u64 = 3;
/// Longest time from a server's first line to its kill.
const LIFE_MS_MAX: u64 = 1_500;
/// Longest time from a start to a kill before the first line.
const BIRTH_MS_MAX: u64 = 150;
/// Producers, and how they feed.
const FEEDS: [Feed; 4] = [Feed::Tcp, Feed::Tcp, Feed::Tcp, Feed::Http];

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is no number")))
}

/// The directory of a run: removed at its end, kept and named if the run fails.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory").keep())
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    fn log(&self) -> PathBuf {
        self.0.join("server.log")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("data and logs of the failed run are in {}", self.0.display());
        } else {
            // A directory that can't be removed fails nothing.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// Settings of one start: small segments and frequent checkpoints, so that recycling, snapshots and timer chunks
/// happen within every round.
fn settings(shards: u16) -> Vec<(&'static str, String)> {
    vec![
        ("shards", shards.to_string()),
        ("partitions", "32".to_owned()),
        ("journal-segment-bytes", "4MiB".to_owned()),
        ("journal-tail-bytes-max", "16MiB".to_owned()),
        ("checkpoint-interval", "100ms".to_owned()),
    ]
}

struct Run {
    place: Place,
    random: StdRng,
    producers: Vec<Producer>,
    hook: Sink,
    mail: Sink,
}

impl Run {
    fn start(&mut self) -> Starting {
        let shards = self.random.random_range(1..=3);
        Starting::new(&self.place.data(), &settings(shards), &self.place.log())
    }

    /// Up under load, then killed.
    async fn round(&mut self, number: u64) {
        let moods = [(); 2].map(|()| Mood::ALL[self.random.random_range(0..Mood::ALL.len())]);
        self.hook.turn(moods[0]);
        self.mail.turn(moods[1]);
        let starting = self.start();
        if self.random.random_bool(0.15) {
            let life = self.random.random_range(0..=BIRTH_MS_MAX);
            eprintln!("round {number}: killed {life} ms after its start");
            sleep(Duration::from_millis(life)).await;
            return drop(starting);
        }
        let server = starting.listening().await;
        let life = self.random.random_range(0..=LIFE_MS_MAX);
        let moves = if self.random.random_bool(0.5) { self.random.random_range(1..=3) } else { 0 };
        let (target, stop) = (Target { tcp: server.tcp.clone(), api: server.api.clone() }, CancellationToken::new());
        let mut feeding = JoinSet::new();
        for producer in self.producers.drain(..) {
            feeding.spawn(producer.run(target.clone(), stop.clone()));
        }
        let counts: Vec<u16> = (0..moves).map(|_| self.random.random_range(1..=4)).collect();
        eprintln!(
            "round {number}: webhook {:?}, mail {:?}, shards {counts:?}, killed after {life} ms",
            moods[0], moods[1]
        );
        let moving = tokio::spawn(move_shards(server.api.clone(), counts));
        sleep(Duration::from_millis(life)).await;
        server.kill();
        stop.cancel();
        self.producers = feeding.join_all().await;
        self.producers.sort_by_key(|producer| producer.number);
        moving.await.expect("moves of shards end well or with the server");
    }

    /// Everything is sent to its end and checked; then a clean stop and a start change nothing.
    async fn end(mut self) {
        self.hook.turn(Mood::Healthy);
        self.mail.turn(Mood::Healthy);
        let server = self.start().listening().await;
        let target = Target { tcp: server.tcp.clone(), api: server.api.clone() };
        let mut finishing = JoinSet::new();
        for producer in self.producers.drain(..) {
            finishing.spawn(producer.finish(target.clone()));
        }
        self.producers = finishing.join_all().await;
        let mut expected = script::Expected::default();
        let mut duplicates = 0;
        for producer in &self.producers {
            expected.add(&producer.script.expected);
            duplicates += producer.duplicates;
        }
        let data = self.place.data();
        let report = verify::check(&server.api, &data, &expected, &self.hook, &self.mail).await;
        eprintln!(
            "{} events, {duplicates} of them sent again though durable; {} webhooks, {} lines, {} mails, {} in doubt",
            report.events,
            self.hook.count(),
            expected.logs.len(),
            self.mail.count(),
            report.journeys["routes"].messages["mailed"].in_doubt,
        );
        assert!(server.stop().await.success(), "a stop in order");
        let server = self.start().listening().await;
        let again = verify::check(&server.api, &data, &expected, &self.hook, &self.mail).await;
        assert_eq!(again, report, "a stop and a start change nothing");
        assert!(server.stop().await.success(), "a stop in order");
        let log = std::fs::read_to_string(self.place.log()).expect("the log of the servers");
        assert!(!log.contains("panicked"), "a thread of a server panicked");
    }
}

/// Changes the number of shards under load, as long as the server lives.
async fn move_shards(api: Api, counts: Vec<u16>) {
    for count in counts {
        let body = json!({"count": count});
        let Ok((status, answer)) = api.call(reqwest::Method::PUT, "/v1/shards", Some(&body)).await else { return };
        assert_eq!((status, &answer["count"]), (200, &count.into()), "shards set {count}: {answer}");
    }
}

async fn publish(data: &Path, log: &Path, hook: &Sink, mail: &Sink) {
    let server: Server = Starting::new(data, &settings(2), log).listening().await;
    let text = script::resources(hook.port(), mail.port());
    server.api.publish(&[("resources.yaml".to_owned(), text)]).await;
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_done_twice() {
    let rounds = from_environment("SOJOURN_CRASH_ROUNDS").unwrap_or(ROUNDS);
    let seed = from_environment("SOJOURN_CRASH_SEED").unwrap_or_else(rand::random);
    eprintln!("SOJOURN_CRASH_SEED={seed} SOJOURN_CRASH_ROUNDS={rounds}");
    let mut random = StdRng::seed_from_u64(seed);
    let (hook, mail) = (Sink::start(Protocol::Webhook), Sink::start(Protocol::Mail));
    let place = Place::new();
    publish(&place.data(), &place.log(), &hook, &mail).await;
    let producers =
        FEEDS.iter().enumerate().map(|(number, feed)| Producer::new(number, *feed, random.random())).collect();
    let mut run = Run { place, random, producers, hook, mail };
    for number in 1..=rounds {
        run.round(number).await;
    }
    run.end().await;
}
