//! The `smtp` channel: one mail per delivery over kept connections to a relay.
//!
//! SMTP has no idempotency key. The attempt is journaled before `MAIL FROM`; from the end of the data until its reply
//! nobody but the relay knows whether the mail was taken, and only then an attempt is in doubt.

mod encrypted;
mod mail;
mod sender;
mod session;
#[cfg(test)]
mod tests;

pub(super) use sender::SmtpSender;
