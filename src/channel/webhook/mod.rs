//! The `webhook` channel: an HTTP POST per delivery, signed by Standard Webhooks, with the delivery's id as the
//! idempotency key of every attempt.

mod sender;
#[cfg(test)]
mod tests;

pub(super) use sender::WebhookSender;
