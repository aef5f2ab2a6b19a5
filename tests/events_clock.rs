//! One answer, whatever the way: `serve --clock events`, fed the demo's purchases over TCP and killed in between, decides
//! as `sojourn replay` does of the same purchases; with any number of shards.
//!
//! `SOJOURN_CLOCK_CUSTOMERS=N` takes purchases of the first N customers (2,000 otherwise; all are 23,570).

#[path = "support/server.rs"]
mod server;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sojourn::domain::event::Event;
use sojourn::domain::ids::Millis;
use sojourn::domain::value::{Map, Value as Property};
use sojourn::transport::client::{Client, ClientConfig, Progress};
use sojourn::wire::value::put_map;
use tokio::time::{Instant, sleep, timeout};

use server::{PATIENCE, POLL, Server, Starting};

/// Customers taken unless the environment says otherwise: enough for every branch of the three journeys.
const CUSTOMERS: u32 = 2_000;

/// One purchase of the history.
struct Purchase {
    row: usize,
    customer: u32,
    date: String,
    quantity: i64,
    amount: f64,
}

impl Purchase {
    fn event(&self) -> Event {
        let mut properties = Vec::new();
        let map = Map(vec![
            ("quantity".into(), Property::Int(self.quantity)),
            ("amount".into(), Property::Float(self.amount)),
        ]);
        put_map(&mut properties, &map);
        Event {
            id: self.row.to_string().into(),
            kind: "purchase".into(),
            profile: format!("cdnow:{:05}", self.customer).into(),
            time: Millis::parse_iso(&self.date),
            properties: properties.into(),
        }
    }

    fn json(&self) -> Value {
        json!({
            "id": self.row.to_string(),
            "type": "purchase",
            "profile": format!("cdnow:{:05}", self.customer),
            "time": self.date,
            "properties": {"quantity": self.quantity, "amount": self.amount},
        })
    }
}

/// Purchases of the first customers, in order of time.
fn purchases() -> Vec<Purchase> {
    let customers = std::env::var("SOJOURN_CLOCK_CUSTOMERS").map_or(CUSTOMERS, |text| text.parse().expect("a number"));
    let file = std::fs::File::open(root().join("examples/data/cdnow.csv.gz")).expect("the demo's data");
    let mut table = csv::Reader::from_reader(flate2::read::GzDecoder::new(file));
    let mut purchases: Vec<Purchase> = table
        .records()
        .map(|record| {
            let record = record.expect("a row");
            Purchase {
                row: record[0].parse().expect("a number"),
                customer: record[1].parse().expect("a customer"),
                date: record[2].to_owned(),
                quantity: record[3].parse().expect("a quantity"),
                amount: record[4].parse().expect("an amount"),
            }
        })
        .filter(|purchase| purchase.customer <= customers)
        .collect();
    purchases.sort_by(|a, b| a.date.cmp(&b.date));
    purchases
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What `sojourn replay` reports of them.
fn replayed(directory: &Path, purchases: &[Purchase]) -> Value {
    let path = directory.join("purchases.ndjson");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file"));
    for purchase in purchases {
        writeln!(file, "{}", purchase.json()).expect("written");
    }
    file.into_inner().expect("written");
    let mut command = Command::new(server::program());
    command.args(["replay", "--json", "--journeys"]).arg(root().join("examples/demo")).arg("--events").arg(path);
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one object")
}

/// The demo's journeys.
fn resources() -> Vec<(String, String)> {
    let directory = std::fs::read_dir(root().join("examples/demo")).expect("the demo's journeys");
    directory
        .map(|entry| {
            let path = entry.expect("an entry").path();
            (path.display().to_string(), std::fs::read_to_string(&path).expect("UTF-8"))
        })
        .collect()
}

fn start(directory: &Path, shards: u16) -> Starting {
    let settings = [
        ("clock", "events".to_owned()),
        ("shards", shards.to_string()),
        ("partitions", "64".to_owned()),
        ("journal-segment-bytes", "4MiB".to_owned()),
        ("journal-tail-bytes-max", "16MiB".to_owned()),
        ("checkpoint-interval", "200ms".to_owned()),
    ];
    Starting::new(&directory.join("data"), &settings, &directory.join("server.log"))
}

/// Sends from where `progress` stands to the end, or until the server is killed; where it stands then.
async fn feed(address: &str, events: &[Event], progress: Progress) -> Progress {
    let config = ClientConfig {
        first_sequence: progress.sequence + 1,
        engine_time: progress.engine_time,
        events_in_flight_max: 1_000,
        ..ClientConfig::new("till", 1)
    };
    let mut client = Client::connect(address, config).await.expect("the server listens");
    assert_eq!(client.clock(), "events");
    for batch in events[progress.sequence as usize..].chunks(100) {
        if client.send(batch).await.is_err() {
            break;
        }
    }
    // Fails where the server was killed.
    let _ = client.flush().await;
    let reached = *client.acknowledged().borrow();
    assert_eq!(reached.rejected, 0);
    reached
}

/// Runs time to its end and waits until every message is reported; the report then.
async fn ended(server: &Server) -> Value {
    let advanced = server.api.call(reqwest::Method::POST, "/v1/clock/advance", Some(&json!({}))).await;
    let (status, answer) = advanced.expect("the server answers");
    assert_eq!(status, 200, "{answer}");
    let until = Instant::now() + PATIENCE;
    loop {
        let under_way = server.api.get("/v1/deliveries?state=all&max=1").await;
        if under_way["deliveries"].as_array().is_some_and(Vec::is_empty) {
            return server.api.get("/v1/reports").await;
        }
        assert!(Instant::now() < until, "messages are reported in time");
        sleep(POLL).await;
    }
}

/// Feeds a server that is killed after a third and after two thirds of the events, under load.
async fn served(events: &[Event], shards: u16) -> Value {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = start(directory.path(), shards).listening().await;
    server.api.publish(&resources()).await;
    let mut progress = Progress::default();
    for kill_at in [events.len() / 3, events.len() * 2 / 3] {
        let all = events.to_vec();
        let address = server.tcp.clone();
        let feeding = tokio::spawn(async move { feed(&address, &all, progress).await });
        let until = Instant::now() + PATIENCE;
        while server.api.get("/v1/reports").await["events"].as_u64().expect("a number") < kill_at as u64 {
            assert!(Instant::now() < until, "events are taken in time");
        }
        server.kill();
        progress = timeout(PATIENCE, feeding).await.expect("the feed ends with the server").expect("no panic");
        eprintln!("{shards} shards: killed at {} of {} acknowledged", progress.sequence, events.len());
        server = start(directory.path(), shards).listening().await;
    }
    let progress = timeout(PATIENCE, feed(&server.tcp, events, progress)).await.expect("all are taken in time");
    assert_eq!(progress.sequence, events.len() as u64);
    let report = ended(&server).await;
    assert!(server.stop().await.success(), "a stop in order");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_the_events_clock_decides_as_a_replay_does() {
    let directory = tempfile::tempdir().expect("a directory");
    let purchases = purchases();
    let replayed = replayed(directory.path(), &purchases);
    assert_eq!(replayed["events"], purchases.len());
    let events: Vec<Event> = purchases.iter().map(Purchase::event).collect();
    for shards in [1, 2, 7] {
        let served = served(&events, shards).await;
        assert_eq!(served["events"], replayed["events"], "{shards} shards");
        for (name, journey) in replayed["journeys"].as_object().expect("journeys") {
            for key in ["entered", "active", "exited", "errors", "discarded", "nodes"] {
                assert_eq!(served["journeys"][name][key], journey[key], "{key} of {name} with {shards} shards");
            }
        }
        assert_eq!(served["hash"], replayed["hash"], "{shards} shards");
    }
}
