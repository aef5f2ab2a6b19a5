//! From a delivery to the bytes of a mail. The same delivery gives the same bytes at every attempt, so that a relay
//! which compares can see that it is one mail. Nothing from a profile or event can add a header.

use std::time::{Duration, SystemTime};

use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};

use crate::domain::content::Escape;
use crate::domain::ids::{Millis, stable_hash};
use crate::runtime::delivery::Job;

/// Echoed by many providers in bounces, so that feedback finds its way.
const DELIVERY_HEADER: &str = "X-Sojourn-Delivery";

/// A mail ready to be handed to a relay.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
}

/// Renders and builds the mail of `job`, or says why that can never succeed.
pub(super) fn build(job: &Job, from: &Mailbox) -> Result<Mail, String> {
    let (row, message) = (&job.row, &job.message);
    let render = |template: &crate::domain::content::Template| {
        template.render(&row.input).map_err(|error| format!("can't render message '{}': {error}", message.name))
    };
    let recipient = recipient(&row.recipient)?;
    let subject = message.subject.as_ref().map(render).transpose()?.unwrap_or_default();
    let body = line_ends(&render(&message.body)?);
    let id = row.id.to_string();
    let header = HeaderName::new_from_ascii_str(DELIVERY_HEADER);
    let builder = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, recipient))
        .subject(one_line(&subject))
        .date(system_time(row.decided_at))
        .message_id(Some(format!("<{id}@{}>", from.email.domain())))
        .raw_header(HeaderValue::new(header, id.clone()));
    let built = match message.body.escape() {
        Escape::Html => builder.multipart(
            MultiPart::alternative()
                .boundary(boundary(&id, &body))
                .singlepart(SinglePart::plain(plain_text(&body)))
                .singlepart(SinglePart::html(body)),
        ),
        Escape::None | Escape::Json => builder.singlepart(SinglePart::plain(body)),
    };
    let mail = built.map_err(|error| format!("can't build the mail: {error}"))?;
    Ok(Mail { envelope: mail.envelope().clone(), bytes: mail.formatted() })
}

/// One kind of line end, which lettre writes as CRLF. It would let a bare CR pass, and relays differ on what that is
/// (SMTP smuggling).
fn line_ends(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// The same at every attempt, and not to be found in the body it divides: that would need a text holding its own hash.
fn boundary(id: &str, body: &str) -> String {
    format!("={:032x}=", stable_hash(&[id.as_bytes(), body.as_bytes()]))
}

/// One bare address. Control characters are refused here and not left to the parser.
fn recipient(text: &str) -> Result<Address, String> {
    let invalid = || "the recipient's address is not valid".to_owned();
    if text.chars().any(char::is_control) {
        return Err(invalid());
    }
    text.trim().parse().map_err(|_| invalid())
}

/// Control characters, line breaks above all, become spaces: a header is one line.
fn one_line(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn system_time(at: Millis) -> SystemTime {
    // A mail dated before 1970 helps no one, and the date header can't hold every instant.
    let since_epoch = Duration::from_millis(u64::try_from(at.0).unwrap_or(0));
    SystemTime::UNIX_EPOCH.checked_add(since_epoch).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The text of an HTML body for readers that show none: tags go, blocks and breaks end lines, `style`, `script` and
/// `head` are left out with their content.
pub(super) fn plain_text(html: &str) -> String {
    let mut text = String::with_capacity(html.len() / 2);
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        push_text(&mut text, &rest[..start]);
        rest = &rest[start..];
        let end =
            if rest.starts_with("<!--") { rest.find("-->").map(|at| at + 3) } else { rest.find('>').map(|at| at + 1) };
        let Some(end) = end else { return finish(&text) };
        let name: String =
            rest[1..end].trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
        let name = name.to_ascii_lowercase();
        let is_opening = !rest.starts_with("</");
        rest = &rest[end..];
        match name.as_str() {
            "style" | "script" | "head" | "title" if is_opening => rest = after_closing(rest, &name),
            "br" | "p" | "div" | "tr" | "li" | "ul" | "ol" | "table" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6"
            | "blockquote" | "hr" => text.push('\n'),
            "td" | "th" => text.push(' '),
            _ => {}
        }
    }
    push_text(&mut text, rest);
    finish(&text)
}

/// What follows the closing tag of `name`; nothing if it is never closed.
fn after_closing<'a>(html: &'a str, name: &str) -> &'a str {
    let closing = format!("</{name}");
    let found = html.char_indices().find(|(at, _)| {
        html.as_bytes()[*at..].get(..closing.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(closing.as_bytes()))
    });
    found.and_then(|(at, _)| html[at..].find('>').map(|end| &html[at + end + 1..])).unwrap_or("")
}

/// Appends text with its line breaks as spaces and the entities that our own escaping makes resolved.
fn push_text(text: &mut String, html: &str) {
    let mut rest = html;
    while let Some(at) = rest.find(['&', '\r', '\n', '\t']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let entities = [
            ("&lt;", '<'),
            ("&gt;", '>'),
            ("&quot;", '"'),
            ("&#x27;", '\''),
            ("&#39;", '\''),
            ("&#x2f;", '/'),
            ("&nbsp;", ' '),
            ("&amp;", '&'),
        ];
        let found = entities.iter().find(|(entity, _)| rest.starts_with(entity));
        let (length, shown) = match found {
            Some((entity, shown)) => (entity.len(), *shown),
            None if rest.starts_with('&') => (1, '&'),
            None => (1, ' '),
        };
        text.push(shown);
        rest = &rest[length..];
    }
    text.push_str(rest);
}

/// Single spaces, no spaces at the ends of lines, at most one empty line.
fn finish(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if !line.is_empty() || lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(line);
        }
    }
    lines.join("\n").trim().to_owned()
}
