//! Sends mails of one surface over a few kept connections.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::TlsParameters;
use lettre::transport::smtp::extension::ClientId;
use parking_lot::Mutex;
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

/// Sends by one SMTP surface.
pub(in crate::channel) struct SmtpSender {
    relay: Relay,
    from: Mailbox,
    attempt_timeout: Duration,
    /// Open and unused; at most as many as attempts run at once.
    idle: Mutex<Vec<Session>>,
}

impl Sender for SmtpSender {
    /// Relays commonly allow 10 to 20 connections of one client.
    const IN_FLIGHT_MAX: usize = 8;

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
        Ok(Self { relay, from, attempt_timeout, idle: Mutex::new(Vec::new()) })
    }

    fn idempotence(surface: &Surface) -> Idempotence {
        Idempotence::Unkeyed(surface.in_doubt)
    }

    async fn attempt(&self, job: &Job, announcement: &Announcement) -> Attempt {
        let mail = match mail::build(job, &self.from) {
            Ok(mail) => mail,
            Err(reason) => return Attempt::Failed(reason),
        };
        // The connection comes before the announcement: a relay that is down costs the journal nothing.
        let session = match self.session(Instant::now() + self.attempt_timeout).await {
            Ok(session) => session,
            Err(reason) => return Attempt::again(reason),
        };
        if let Err(ended) = announcement.started().await {
            self.keep(session);
            return ended;
        }
        self.hand_over(session, &mail).await
    }
}

impl SmtpSender {
    /// A kept session that still answers, or a new one.
    async fn session(&self, deadline: Instant) -> Result<Session, String> {
        loop {
            // Not held across the await below.
            let kept = self.idle.lock().pop();
            let Some(mut session) = kept else { return Session::open(&self.relay, deadline).await };
            let idle = session.used_at.elapsed();
            if idle < ASK_AFTER || (idle < IDLE_MAX && session.is_alive(deadline).await) {
                return Ok(session);
            }
        }
    }

    async fn hand_over(&self, mut session: Session, mail: &Mail) -> Attempt {
        // The wait for the journal does not count as the relay's time.
        let deadline = Instant::now() + self.attempt_timeout;
        let (refusal, line) = match session.hand_over(&mail.envelope, &mail.bytes, deadline).await {
            Ok(()) => {
                self.keep(session);
                return Attempt::Sent;
            }
            Err(refused) => refused,
        };
        if line == Line::Open {
            self.keep(session);
        }
        match refusal {
            Refusal::Transient(reason) => Attempt::again(reason),
            Refusal::Permanent(reason) => Attempt::Failed(reason),
            Refusal::Unknown(reason) => Attempt::Uncertain(reason),
        }
    }

    fn keep(&self, session: Session) {
        let mut idle = self.idle.lock();
        if session.mails < MAILS_MAX && idle.len() < Self::IN_FLIGHT_MAX {
            idle.push(session);
        }
    }
}
