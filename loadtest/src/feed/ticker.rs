//! The grid of intended times as it passes. On a thread of its own: the runtime's timers count whole milliseconds and fire up
//! to one late, which would be charged to the server.

use std::time::Instant;

use tokio::sync::watch;

use super::schedule::TICK;

/// Says how many ticks have begun.
#[derive(Clone, Debug)]
pub struct Ticker {
    begun: watch::Receiver<u64>,
}

impl Ticker {
    /// Ticks from `started` on, until nobody listens.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(started: Instant) -> std::io::Result<Self> {
        let (begins, begun) = watch::channel(0);
        std::thread::Builder::new().name("ticker".to_owned()).spawn(move || {
            let mut tick = 0;
            loop {
                std::thread::sleep((started + TICK * tick).saturating_duration_since(Instant::now()));
                tick = u32::try_from(started.elapsed().as_nanos() / TICK.as_nanos()).unwrap_or(u32::MAX).max(tick) + 1;
                if begins.send(u64::from(tick)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { begun })
    }

    /// Waits until tick `tick`, counted from 0, has begun.
    pub async fn reaches(&mut self, tick: u64) {
        // The thread ends after those who wait for it.
        let _ = self.begun.wait_for(|begun| *begun > tick).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_tick_begins_early() {
        let started = Instant::now();
        let mut ticker = Ticker::start(started).expect("starts");
        for tick in [0, 1, 2, 30] {
            ticker.reaches(tick).await;
            assert!(started.elapsed() >= TICK * tick as u32, "tick {tick}");
        }
    }
}
