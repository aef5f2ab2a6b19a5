//! Campaigns of Parcelvoy as messages: mails as mails, webhooks as webhooks, what has no channel here yet as lines of the log.

use serde_json::Value;

use super::read::Library;
use super::shapes::{Campaign, Template, TemplateData};
use crate::import::bundle::{Bundle, Leaves, NO_SENDER, Reach};
use crate::import::declared::Type;
use crate::import::report::Subject;
use crate::import::template::{Dialect, translate};
use crate::import::text::{is_web_address, json, segments};
use crate::import::unread::is_nothing;

/// The entry event of a journey, and the name that its data has in templates.
type Entry<'e> = (&'e str, Option<&'e str>);

/// The message of a step.
pub(super) fn message(
    campaign: i64,
    subject: &Subject,
    entry: Entry<'_>,
    library: &mut Library,
    bundle: &mut Bundle,
) -> String {
    let Some(known) = library.campaigns.get_mut(&campaign) else {
        let text = format!("campaign {campaign} is not there: its message is a line of the log");
        bundle.report.lost(subject, text, "give the answer of `GET …/campaigns/:id` too, or write the message");
        return bundle.message(&format!("campaign {campaign}"), Leaves::Log, format!("campaign {campaign}"));
    };
    known.is_used = true;
    let key = (entry.0.to_owned(), entry.1.map(str::to_owned));
    if let Some(message) = known.messages.get(&key) {
        return message.clone();
    }
    let (of_campaign, shape) = (known.subject.clone(), known.shape.clone());
    let (name, locale) = write(&of_campaign, shape, entry, bundle);
    let of_locale = locale.map(|locale| format!(", of its template for locale {locale:?}")).unwrap_or_default();
    bundle.report.mapped(&of_campaign, format!("message `{name}`{of_locale}"));
    if let Some(known) = library.campaigns.get_mut(&campaign) {
        known.messages.insert(key, name.clone());
    }
    name
}

fn write(subject: &Subject, campaign: Campaign, entry: Entry<'_>, bundle: &mut Bundle) -> (String, Option<String>) {
    let Campaign {
        channel,
        created_at: _,
        deleted_at: _,
        delivery: _,
        exclusion_list_ids,
        exclusion_lists: _,
        id: _,
        list_ids,
        lists: _,
        name,
        progress: _,
        project_id: _,
        provider: _,
        provider_id,
        screenshot_url: _,
        send_at,
        send_in_user_timezone,
        state: _,
        subscription: _,
        subscription_id,
        tags: _,
        templates,
        r#type: _,
        updated_at: _,
    } = campaign;
    let consent = "keep the choice in an attribute, and ask for it in a condition before the message";
    let left = [
        ("list_ids", list_ids, "a journey chooses whom it sends to"),
        ("exclusion_list_ids", exclusion_list_ids, consent),
        ("provider_id", provider_id, "set the provider in surfaces.yaml"),
        ("send_at", send_at, "a journey chooses when it sends"),
        ("send_in_user_timezone", send_in_user_timezone.map(Value::from), "a journey chooses when it sends"),
        ("subscription_id", subscription_id, consent),
    ];
    for (field, value, help) in left {
        if let Some(value) = value.filter(|value| !is_nothing(value)) {
            bundle.report.lost(subject, format!("`{field}` {} is left out", json(&value)), help);
        }
    }
    let mut templates = templates.unwrap_or_default();
    let first = templates.iter().position(|t| t.locale.as_deref() == Some("en")).unwrap_or_default();
    let chosen = if templates.is_empty() { Template::default() } else { templates.remove(first) };
    for other in &templates {
        let text = format!(
            "the template for locale {:?} is left out: {}",
            other.locale.as_deref().unwrap_or_default(),
            json(&other.data)
        );
        bundle.report.lost(subject, text, "write a message for it, and ask for `profile.locale` before");
    }
    let (channel, name) = (channel.unwrap_or_default(), name.unwrap_or_default());
    let mut writer = Writer { subject, entry, bundle };
    (writer.write(&channel, &name, chosen.data.unwrap_or_default()), chosen.locale)
}

/// The expression of ours that reads what a placeholder reads.
pub(super) fn field(
    path: &str,
    (event, data_key): Entry<'_>,
    wanted: Option<Type>,
    bundle: &mut Bundle,
) -> Result<String, String> {
    let parts = segments(path).ok_or("only a field's name is known")?;
    let named: Vec<&str> = parts.iter().map(String::as_str).collect();
    match named.as_slice() {
        ["user", "id" | "external_id"] => Ok("journey.key".to_owned()),
        ["user", _, ..] => bundle.declared.profile(&parts[1..], wanted),
        ["event", "name"] => Ok("meta.type".to_owned()),
        ["event", "created_at"] => Ok("meta.time".to_owned()),
        ["event", _, ..] => bundle.declared.property((event, "event"), &parts[1..], wanted),
        ["journey", key, "event", "name"] if Some(*key) == data_key => Ok("meta.type".to_owned()),
        ["journey", key, "event", _, ..] if Some(*key) == data_key => {
            bundle.declared.property((event, "event"), &parts[3..], wanted)
        }
        _ => Err("no field of the profile or of the entry event".to_owned()),
    }
}

struct Writer<'w> {
    subject: &'w Subject,
    entry: Entry<'w>,
    bundle: &'w mut Bundle,
}

impl Writer<'_> {
    fn lost(&mut self, text: impl Into<String>, help: &str) {
        self.bundle.report.lost(self.subject, text, help);
    }

    fn template(&mut self, source: &str) -> String {
        let (entry, bundle, mut problems) = (self.entry, &mut *self.bundle, Vec::new());
        let mut resolve = |path: &str| field(path, entry, None, bundle);
        let text = translate(source, Dialect::Handlebars, &mut resolve, &mut problems);
        for problem in problems {
            self.lost(problem, "write it in the language of messages (docs/messages.md)");
        }
        text
    }

    fn write(&mut self, channel: &str, name: &str, data: TemplateData) -> String {
        let TemplateData {
            bcc,
            body,
            cc,
            custom,
            editor: _,
            endpoint,
            from,
            headers,
            html,
            method,
            mjml: _,
            preheader,
            reply_to,
            subject: title,
            text,
            title: push_title,
            topic,
            url,
        } = data;
        // Values of headers may be secret: only their names are told.
        let names = |headers: Option<Value>| Some(headers?.as_object()?.keys().cloned().collect());
        let left = [
            ("bcc", bcc.map(Value::from)),
            ("cc", cc.map(Value::from)),
            ("custom", custom),
            ("headers", names(headers)),
            ("preheader", preheader.map(Value::from)),
            ("reply_to", reply_to.map(Value::from)),
            ("topic", topic.map(Value::from)),
            ("url", url.map(Value::from)),
        ];
        self.bundle.report.left_out(self.subject, left, "nothing here takes it");
        match channel {
            "email" => self.mail(name, (title, html, text), from),
            "webhook" => self.webhook(name, endpoint, method, body),
            _ => {
                self.lost(
                    format!("there is no channel for {channel} yet: a line of the log instead"),
                    "send it by a webhook to your provider: `channel: webhook`",
                );
                if let Some(from) = from.filter(|from| !is_nothing(from)) {
                    self.lost(format!("`from` is left out: {}", json(&from)), "tell your provider where you send it");
                }
                let body = body.and_then(|body| body.as_str().map(str::to_owned));
                let parts = [push_title, title, text, html, body].into_iter().flatten().filter(|part| !part.is_empty());
                let body = parts.map(|part| self.template(&part)).collect::<Vec<_>>().join("\n");
                self.bundle.message(name, Leaves::Log, body)
            }
        }
    }

    fn mail(
        &mut self,
        name: &str,
        parts: (Option<String>, Option<String>, Option<String>),
        from: Option<Value>,
    ) -> String {
        let (title, html, text) = parts;
        let (html, text) = (html.filter(|part| !part.is_empty()), text.filter(|part| !part.is_empty()));
        if let (Some(_), Some(text)) = (&html, &text) {
            let text = format!("`text` is left out: {}", json(text));
            self.bundle.report.differs(self.subject, text, "the text part of a mail is made of its HTML");
        }
        let body = self.template(&html.or(text).unwrap_or_default());
        let title = self.template(&title.unwrap_or_default());
        let from = from.unwrap_or(Value::Null);
        let part = |key: &str| from.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (sender, address) = if from.is_string() {
            (String::new(), from.as_str().unwrap_or_default().to_owned())
        } else {
            (part("name"), part("address"))
        };
        let plain = |text: &str| {
            !text.contains("{{") && !text.contains(['"', '<', '>', '\\']) && !text.chars().any(char::is_control)
        };
        let written = match (plain(&address) && address.contains('@'), plain(&sender) && !sender.is_empty()) {
            (true, true) => format!("\"{sender}\" <{address}>"),
            (true, false) if sender.is_empty() => address,
            (known, _) => {
                let kept = if known { address } else { NO_SENDER.to_owned() };
                self.lost(
                    format!("the sender {} is not written as it is: {kept} stands for it", json(&from)),
                    "set `from` in surfaces.yaml",
                );
                kept
            }
        };
        let surface = self.bundle.mail_surface(written, self.subject);
        self.bundle.message(name, Leaves::Mail { surface, subject: title }, body)
    }

    fn webhook(&mut self, name: &str, endpoint: Option<String>, method: Option<String>, body: Option<Value>) -> String {
        let url = endpoint.unwrap_or_default();
        if let Some(method) = method.filter(|method| method != "POST") {
            self.lost(format!("method {method} becomes POST"), "call it by an `action`");
        }
        let source = match body {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            Some(body) => serde_json::to_string_pretty(&body).unwrap_or_default(),
        };
        let body = self.template(&source);
        if !is_web_address(&url) {
            self.lost(
                format!("no fixed URL to call ({url}): a line of the log instead"),
                "call it by an `action`, whose path may hold values",
            );
            return self.bundle.message(name, Leaves::Log, body);
        }
        let surface = self.bundle.surface(Reach::Hook(url));
        self.bundle.message(name, Leaves::Hook { surface }, body)
    }
}
