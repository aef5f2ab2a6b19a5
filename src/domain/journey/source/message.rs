//! `kind: message`: what is said, and by which channel.

use smol_str::SmolStr;

use crate::domain::journey::definition::{Format, MessageDefinition};
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::program::Channel;
use crate::domain::journey::source::reader::{MapReader, choice, full_text, name, text};
use crate::domain::journey::source::tree::Tree;

const CHANNELS: [(&str, Channel); 3] =
    [("log", Channel::Log), ("webhook", Channel::Webhook), ("email", Channel::Email)];
const LATER_CHANNELS: [&str; 8] = ["sms", "push", "in_app", "in-app", "web", "whatsapp", "content_card", "code"];
const FORMATS: [(&str, Format); 3] = [("text", Format::Text), ("html", Format::Html), ("json", Format::Json)];

/// Reads a message.
pub fn read(message_name: At<SmolStr>, mut map: MapReader<'_>, findings: &mut Findings<'_>) -> MessageDefinition {
    let before = findings.count();
    name(&message_name, "a message", findings);
    let channel = map.required("channel", findings).and_then(|tree| read_channel(tree, findings));
    let surface = map.optional("surface").and_then(|tree| full_text(tree, "`surface`", findings));
    let subject = map.optional("subject").and_then(|tree| template(tree, "`subject`", findings));
    let body = map.required("body", findings).and_then(|tree| template(tree, "`body`", findings));
    let format = map.optional("format").and_then(|tree| choice(tree, "`format`", &FORMATS, findings));
    let (place, what) = (map.place, map.what.clone());
    match channel {
        Some(Channel::Log) if surface.is_some() => {
            let message = format!("{what} goes to the log, which has no surface");
            findings.error_with(
                place,
                "unexpected_surface",
                message,
                "remove `surface`, or name its channel".to_owned(),
            );
        }
        Some(Channel::Email | Channel::Webhook) if !map.has("surface") => {
            let message = format!("{what} names no surface to leave by");
            findings.error_with(
                place,
                "missing_surface",
                message,
                "add `surface: NAME` of a `kind: surface`".to_owned(),
            );
        }
        _ => {}
    }
    match channel {
        Some(Channel::Email) if !map.has("subject") => {
            let message = format!("{what} is an e-mail without a subject");
            findings.error_with(place, "missing_subject", message, "add `subject: …`".to_owned());
        }
        Some(Channel::Webhook) if map.has("subject") => {
            let message = format!("{what} goes to a webhook, which has no subject");
            findings.error_with(place, "unexpected_subject", message, "put it into `body`".to_owned());
        }
        _ => {}
    }
    map.finish(findings);
    let channel = channel.unwrap_or(Channel::Log);
    let body = body.unwrap_or_default();
    let format = format.unwrap_or_else(|| default_format(channel, &body.value));
    let broken = findings.any_error_since(before);
    MessageDefinition { name: message_name, channel, surface, subject, body, format, broken }
}

/// E-mails that begin with `<` are HTML, webhooks carry JSON, all else is text.
fn default_format(channel: Channel, body: &str) -> Format {
    match channel {
        Channel::Email if body.trim_start().starts_with('<') => Format::Html,
        Channel::Webhook => Format::Json,
        Channel::Email | Channel::Log | Channel::Call => Format::Text,
    }
}

/// The channel of a message or surface.
pub fn read_channel(tree: &Tree, findings: &mut Findings<'_>) -> Option<Channel> {
    if let Some(later) = tree.text().filter(|word| LATER_CHANNELS.contains(word)) {
        let message = format!("channel `{later}` is not available in this release");
        let suggestion = "channels are `log`, `webhook`, `email`; reach others through a webhook".to_owned();
        findings.error_with(tree.place, "not_available", message, suggestion);
        return None;
    }
    choice(tree, "`channel`", &CHANNELS, findings)
}

fn template(tree: &Tree, what: &str, findings: &mut Findings<'_>) -> Option<At<String>> {
    text(tree, what, findings).map(|found| At::new(found.value.to_string(), found.place))
}
