//! What one event costs the engine alone: decoded, routed, decided, recorded, acknowledged, with its timers and its
//! message; without sockets, disk, threads. `benches/instructions` counts its instructions; by itself it tells the time.
//!
//! `engine_only [--events N] [--warm-up N] [--made N]`: so many events are measured after so many others. `--made` makes more
//! of them than are used, so that two runs differ in nothing but what they measure. As a test it runs tiny.

mod engine;

use std::process::ExitCode;
use std::time::Instant;

use engine::{BATCH, Engine, frames};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events measured, and before them, unless told otherwise.
const EVENTS: u64 = 500_000;
const WARM_UP: u64 = 100_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let number = |name: &str, default: u64| {
        let after = arguments.iter().skip_while(|argument| *argument != name).nth(1);
        after.map_or(Some(default), |text| text.parse().ok())
    };
    // `cargo test` asks for no benchmark: then it only has to work.
    let (default, default_warm_up) = if is_bench { (EVENTS, WARM_UP) } else { (3 * BATCH, 20 * BATCH) };
    let (Some(events), Some(warm_up)) = (number("--events", default), number("--warm-up", default_warm_up)) else {
        eprintln!("usage: engine_only [--events N] [--warm-up N] [--made N]");
        return ExitCode::from(2);
    };
    let Some(made) = number("--made", warm_up + events).filter(|made| *made >= warm_up + events) else {
        eprintln!("--made N: at least as many as are used");
        return ExitCode::from(2);
    };
    measure(events, warm_up, made);
    ExitCode::SUCCESS
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn measure(events: u64, warm_up: u64, made: u64) {
    let frames = frames(made);
    let (before, rest) = frames.split_at((warm_up / BATCH) as usize);
    let measured = &rest[..(events / BATCH) as usize];
    let mut engine = Engine::new();
    for frame in before {
        engine.take(frame);
    }
    let first = engine.totals();
    let started = Instant::now();
    for frame in measured {
        engine.take(frame);
    }
    let elapsed = started.elapsed();
    let totals = engine.totals();
    let count = totals.events - first.events;
    // Of three events one is the cart of a customer who does not buy and gets a message, 200 ms later.
    assert!(warm_up < 20 * BATCH || totals.messages > 0, "nobody got a message");
    assert!(totals.record_bytes > 0 && totals.ack_bytes > 0);
    println!(
        "{count} events, {} messages, {} bytes of records an event, {:.0} ns an event",
        totals.messages - first.messages,
        (totals.record_bytes - first.record_bytes) / count.max(1),
        elapsed.as_nanos() as f64 / count.max(1) as f64,
    );
}
