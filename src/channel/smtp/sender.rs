//! Sends mails of one surface over a few kept connections.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::TlsParameters;
use lettre::transport::smtp::extension::ClientId;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::mail::{self, Mail};
use super::session::{Line, Refusal, Relay, Session};
use crate::channel::attempt::{Announcement, Attempt, Idempotence, Sender};
use crate::channel::secret;
use crate::domain::surface::{Settings, Surface, Tls};
use crate::runtime::delivery::Job;

/// A connection idle for longer is asked before it is used: relays drop idle ones without a word.
const ASK_AFTER: Duration = Duration::from_secs(1);
/// A connection idle for longer is not used again (RFC 5321 lets relays drop it after 5 minutes).
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Mails by one connection: many relays end it after 100.
const MAILS_MAX: u32 = 100;
/// Connections at once to the relay of one surface: relays commonly allow 20 of one client, or more.
pub(super) const CONNECTIONS_MAX: usize = 16;

/// Sends by one SMTP surface.
pub(in crate::channel) struct SmtpSender {
    relay: Relay,
    from: Mailbox,
    attempt_timeout: Duration,
    /// One for each connection that may be in use.
    lines: Semaphore,
    /// Open and unused.
    idle: Mutex<Vec<Session>>,
    /// When a session last had an answer.
    answered_at: Mutex<Option<Instant>>,
}

/// A session, and the right to one.
struct Held<'a> {
    session: Session,
    _line: SemaphorePermit<'a>,
}

impl Sender for SmtpSender {
    /// More than there are connections: an attempt has none while its beginning is journaled, which takes longer than
    /// to hand a mail over.
    const IN_FLIGHT_MAX: usize = 8 * CONNECTIONS_MAX;

    fn build(surface: &Surface) -> Result<Self, String> {
        let Settings::Smtp(settings) = &surface.settings else {
            return Err("it is not an SMTP surface".to_owned());
        };
        let from: Mailbox = settings.from.parse().map_err(|error| format!("its 'from' is not an address: {error}"))?;
        let password = settings.password.as_ref().map(secret::reveal).transpose()?;
        let credentials = match (&settings.username, password) {
            (Some(username), Some(password)) => Some(Credentials::new(username.clone(), password)),
            (None, None) => None,
            _ => return Err("username and password go together".to_owned()),
        };
        let tls_parameters = match settings.tls {
            Tls::None => None,
            Tls::Starttls | Tls::Implicit => Some(
                TlsParameters::new(settings.host.clone()).map_err(|error| format!("no TLS for its host: {error}"))?,
            ),
        };
        let relay = Relay {
            host: settings.host.clone(),
            port: settings.port,
            tls: settings.tls,
            tls_parameters,
            credentials,
            hello: ClientId::default(),
        };
        let attempt_timeout = Duration::from_millis(u64::try_from(surface.attempt_timeout_ms).unwrap_or(0));
        let lines = Semaphore::new(CONNECTIONS_MAX);
        let (idle, answered_at) = (Mutex::new(Vec::new()), Mutex::new(None));
        Ok(Self { relay, from, attempt_timeout, lines, idle, answered_at })
    }

    fn idempotence(surface: &Surface) -> Idempotence {
        Idempotence::Unkeyed(surface.in_doubt)
    }

    async fn attempt(&self, job: &Job, announcement: &Announcement) -> Attempt {
        let mail = match mail::build(job, &self.from) {
            Ok(mail) => mail,
            Err(reason) => return Attempt::Failed(reason),
        };
        // A connection comes before the announcement: a relay that is down costs the journal nothing.
        if let Err(reason) = self.reach().await {
            return Attempt::again(reason);
        }
        if let Err(ended) = announcement.started().await {
            return ended;
        }
        match self.session().await {
            Ok(held) => self.hand_over(held, &mail).await,
            Err(reason) => Attempt::again(reason),
        }
    }
}

impl SmtpSender {
    /// Makes sure that the relay answers, by a session if none had an answer lately.
    async fn reach(&self) -> Result<(), String> {
        let answered_at = *self.answered_at.lock();
        if answered_at.is_none_or(|at| at.elapsed() >= ASK_AFTER) {
            self.keep(self.session().await?);
        }
        Ok(())
    }

    /// A kept session that still answers, or a new one. The wait for other attempts does not count as the relay's time.
    async fn session(&self) -> Result<Held<'_>, String> {
        let line = self.lines.acquire().await.expect("it is never closed");
        let deadline = Instant::now() + self.attempt_timeout;
        loop {
            // Not held across the await below.
            let kept = self.idle.lock().pop();
            let session = match kept {
                None => Session::open(&self.relay, deadline).await?,
                Some(mut session) => {
                    let idle = session.used_at.elapsed();
                    if idle < ASK_AFTER {
                        return Ok(Held { session, _line: line });
                    }
                    if idle >= IDLE_MAX || !session.is_alive(deadline).await {
                        continue;
                    }
                    session
                }
            };
            return Ok(Held { session, _line: line });
        }
    }

    async fn hand_over(&self, mut held: Held<'_>, mail: &Mail) -> Attempt {
        // The wait for the journal does not count as the relay's time.
        let deadline = Instant::now() + self.attempt_timeout;
        let (refusal, line) = match held.session.hand_over(&mail.envelope, &mail.bytes, deadline).await {
            Ok(()) => {
                self.keep(held);
                return Attempt::Sent;
            }
            Err(refused) => refused,
        };
        if line == Line::Open {
            self.keep(held);
        }
        match refusal {
            Refusal::Transient(reason) => Attempt::again(reason),
            Refusal::Permanent(reason) => Attempt::Failed(reason),
            Refusal::Unknown(reason) => Attempt::Uncertain(reason),
        }
    }

    /// Puts a session that had an answer by for the next mail.
    fn keep(&self, held: Held<'_>) {
        *self.answered_at.lock() = Some(Instant::now());
        if held.session.mails < MAILS_MAX {
            // ORDER: before its line is let go, so that whoever gets that finds the session.
            self.idle.lock().push(held.session);
        }
    }
}
