//! One connection to a relay, step by step. lettre's transport runs a whole mail as one call and cannot say how far it
//! came; its connection lets us drive each command, and that tells "nothing was handed over" from "perhaps".

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Ehlo, Mail, Noop, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::encrypted::Encrypted;
use crate::domain::surface::Tls;

/// How a session reaches its relay.
pub(super) struct Relay {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Tls,
    pub(super) tls_parameters: Option<TlsParameters>,
    pub(super) credentials: Option<Credentials>,
    pub(super) hello: ClientId,
}

/// Why the relay did not take the mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not now (4xx), or the connection failed before the mail was handed over.
    Transient(String),
    /// Never (5xx, or the mail needs what the relay lacks).
    Permanent(String),
    /// The data was ended and no reply came: it may have been taken.
    Unknown(String),
}

/// Whether the connection can carry another mail after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Open,
    Broken,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("{0}")]
    Socket(#[from] std::io::Error),
    #[error("{0}")]
    Smtp(#[from] Error),
}

/// A socket that sends small writes at once. The end of the data is a write of its own, which would wait until the relay
/// has acknowledged the data before it; relays put that off by 40 ms. lettre's own way of connecting leaves this unset.
async fn connect(relay: &Relay) -> std::io::Result<TcpStream> {
    let socket = TcpStream::connect((relay.host.as_str(), relay.port)).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn refusal(verb: &str, error: &Error) -> Refusal {
    let reason = format!("{verb}: {error}");
    if error.is_permanent() { Refusal::Permanent(reason) } else { Refusal::Transient(reason) }
}

fn unanswered(verb: &str) -> (Refusal, Line) {
    (Refusal::Transient(format!("the relay did not answer {verb} in time")), Line::Broken)
}

/// An open connection that has said hello and logged in.
pub(super) struct Session {
    connection: AsyncSmtpConnection,
    /// Whether commands may be sent before those ahead of them are answered (RFC 2920).
    is_pipelined: bool,
    pub(super) mails: u32,
    pub(super) used_at: Instant,
}

impl Session {
    /// Connects, encrypts and logs in by `deadline`.
    pub(super) async fn open(relay: &Relay, deadline: Instant) -> Result<Self, String> {
        match timeout_at(deadline, Self::open_unbounded(relay)).await {
            Ok(opened) => opened.map_err(|error| format!("can't open a session with the relay: {error}")),
            Err(_) => Err("the relay did not open a session in time".to_owned()),
        }
    }

    async fn open_unbounded(relay: &Relay) -> Result<Self, OpenError> {
        let socket = connect(relay).await?;
        let implicit = relay.tls_parameters.clone().filter(|_| relay.tls == Tls::Implicit);
        let mut connection = match implicit {
            Some(parameters) => {
                let stream = Box::new(Encrypted::over(socket, parameters).await?);
                AsyncSmtpConnection::connect_with_transport(stream, &relay.hello).await?
            }
            None => AsyncSmtpConnection::connect_with_transport(Box::new(socket), &relay.hello).await?,
        };
        if relay.tls == Tls::Starttls
            && let Some(parameters) = relay.tls_parameters.clone()
        {
            connection.starttls(parameters, &relay.hello).await?;
        }
        if let Some(credentials) = &relay.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        // lettre reads only what it knows from its own greeting.
        let greeting = connection.command(Ehlo::new(relay.hello.clone())).await?;
        let is_pipelined = greeting.message().any(|line| line.trim().eq_ignore_ascii_case("PIPELINING"));
        Ok(Self { connection, is_pipelined, mails: 0, used_at: Instant::now() })
    }

    /// Whether the relay still answers on this connection.
    pub(super) async fn is_alive(&mut self, deadline: Instant) -> bool {
        matches!(timeout_at(deadline, self.connection.command(Noop)).await, Ok(Ok(_)))
    }

    /// Hands one mail over by `deadline`.
    pub(super) async fn hand_over(
        &mut self,
        envelope: &Envelope,
        bytes: &[u8],
        deadline: Instant,
    ) -> Result<(), (Refusal, Line)> {
        self.mails += 1;
        self.used_at = Instant::now();
        self.begin(envelope, bytes, deadline).await?;
        self.transfer(bytes, deadline).await
    }

    /// `MAIL`, `RCPT`, `DATA`: whatever fails here, no mail was handed over.
    async fn begin(&mut self, envelope: &Envelope, bytes: &[u8], deadline: Instant) -> Result<(), (Refusal, Line)> {
        let mut parameters = Vec::new();
        let addresses = envelope.from().into_iter().chain(envelope.to());
        if addresses.map(AsRef::<str>::as_ref).any(|address: &str| !address.is_ascii()) {
            self.require(Extension::SmtpUtfEight, "the recipient's address needs SMTPUTF8")?;
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !bytes.is_ascii() {
            self.require(Extension::EightBitMime, "the mail needs 8BITMIME")?;
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let mail = Mail::new(envelope.from().cloned(), parameters);
        let recipients = envelope.to().iter().map(|recipient| Rcpt::new(recipient.clone(), Vec::new()));
        if self.is_pipelined {
            let recipients: Vec<String> = recipients.map(|recipient| recipient.to_string()).collect();
            let commands = format!("{mail}{}{Data}", recipients.concat());
            return self.commands_at_once(commands, recipients.len(), deadline).await;
        }
        self.command("MAIL", mail, deadline).await?;
        for recipient in recipients {
            self.command("RCPT", recipient, deadline).await?;
        }
        self.command("DATA", Data, deadline).await
    }

    /// All commands before the data in one write: a mail takes two round trips, not four. The first refusal counts. The
    /// data is sent only if nothing was refused, so a relay that asks for it all the same loses the connection.
    async fn commands_at_once(
        &mut self,
        commands: String,
        recipients: usize,
        deadline: Instant,
    ) -> Result<(), (Refusal, Line)> {
        let verbs = std::iter::once("MAIL").chain(std::iter::repeat_n("RCPT", recipients)).chain(["DATA"]);
        let (mut unsent, mut first, mut is_data_awaited) = (Some(commands), None, false);
        for verb in verbs {
            let answered = match unsent.take() {
                Some(commands) => timeout_at(deadline, self.connection.command(commands)).await,
                None => timeout_at(deadline, self.connection.read_response()).await,
            };
            match answered {
                Ok(Ok(_)) => is_data_awaited = verb == "DATA",
                Ok(Err(error)) => {
                    let is_lost = error.status().is_none();
                    first.get_or_insert((verb, error));
                    if is_lost {
                        break;
                    }
                }
                Err(_) => return Err(unanswered(verb)),
            }
        }
        match first {
            None => Ok(()),
            Some((verb, error)) if is_data_awaited => Err((refusal(verb, &error), Line::Broken)),
            Some((verb, error)) => Err(self.refused(verb, &error, deadline).await),
        }
    }

    fn require(&self, extension: Extension, what: &str) -> Result<(), (Refusal, Line)> {
        if self.connection.server_info().supports_feature(extension) {
            return Ok(());
        }
        Err((Refusal::Permanent(format!("{what}, which the relay does not offer")), Line::Open))
    }

    async fn command(
        &mut self,
        verb: &str,
        command: impl std::fmt::Display,
        deadline: Instant,
    ) -> Result<(), (Refusal, Line)> {
        let error = match timeout_at(deadline, self.connection.command(command)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => return Err(unanswered(verb)),
        };
        Err(self.refused(verb, &error, deadline).await)
    }

    /// What a refused command comes to; the connection is made ready for the next mail if it can be.
    async fn refused(&mut self, verb: &str, error: &Error, deadline: Instant) -> (Refusal, Line) {
        // 421: the relay closes the connection.
        let is_closing = error.status().is_none_or(|code| u16::from(code) == 421);
        let line = if is_closing { Line::Broken } else { self.reset(deadline).await };
        (refusal(verb, error), line)
    }

    /// Clears a refused mail so that the connection can carry the next.
    async fn reset(&mut self, deadline: Instant) -> Line {
        match timeout_at(deadline, self.connection.command(Rset)).await {
            Ok(Ok(_)) => Line::Open,
            _ => Line::Broken,
        }
    }

    /// The data and its reply. A relay takes a mail only after the end of the data (RFC 5321 §4.1.1.4), so an error
    /// before that end was written is no doubt; after it, only a reply is certain.
    async fn transfer(&mut self, bytes: &[u8], deadline: Instant) -> Result<(), (Refusal, Line)> {
        let mut is_end_written = false;
        let mut part = Some(bytes);
        let parts = std::iter::from_fn(|| {
            // lettre asks for the next part once the one before is flushed, and writes the end when there is none.
            is_end_written = part.is_none();
            part.take()
        });
        let result = timeout_at(deadline, self.connection.message_iter(parts)).await;
        let reason = match result {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) if error.is_permanent() => {
                return Err((Refusal::Permanent(format!("data: {error}")), Line::Open));
            }
            Ok(Err(error)) if error.is_transient() => {
                let is_closing = error.status().is_some_and(|code| u16::from(code) == 421);
                let line = if is_closing { Line::Broken } else { Line::Open };
                return Err((Refusal::Transient(format!("data: {error}")), line));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no reply in time".to_owned(),
        };
        let refusal = if is_end_written {
            Refusal::Unknown(format!("the mail was handed over and its reply never came: {reason}"))
        } else {
            Refusal::Transient(format!("the connection failed during the data: {reason}"))
        };
        Err((refusal, Line::Broken))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn small_writes_leave_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let relay = Relay {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().expect("has one").port(),
            tls: Tls::None,
            tls_parameters: None,
            credentials: None,
            hello: ClientId::default(),
        };
        let socket = connect(&relay).await.expect("connects");
        assert!(socket.nodelay().expect("says"));
    }
}
