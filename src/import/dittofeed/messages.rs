//! Message templates of Dittofeed as messages: mails as mails, webhooks as webhooks, what has no channel here yet as lines
//! of the log.

use serde_json::Value;

use super::read::Library;
use super::shapes::{Contents, Template, UserPropertyDefinition};
use crate::import::bundle::{Bundle, Leaves, NO_SENDER, Reach};
use crate::import::report::Subject;
use crate::import::template::{Dialect, translate};
use crate::import::text::{is_web_address, json, segments};
use crate::import::unread::{self, is_nothing};

/// The message of a node.
pub(super) fn message(
    kind: &str,
    template: &str,
    subject: &Subject,
    library: &mut Library,
    bundle: &mut Bundle,
) -> String {
    let id = library.template(template);
    let Some(known) = library.templates.get_mut(&id) else {
        let text = format!("template `{template}` is not there: its message is a line of the log");
        bundle.report.lost(
            subject,
            text,
            "give the answer of `GET /api/admin/content/templates` too, or write the message",
        );
        let body = crate::import::template::verbatim(&format!("{kind} {template}"));
        return bundle.message(template, Leaves::Log, body);
    };
    known.is_used = true;
    let of_kind = known.shape.definition.as_ref().and_then(|definition| definition.r#type.clone());
    if let Some(of_kind) = of_kind.filter(|of_kind| *of_kind != kind) {
        let text = format!("sends by {kind}, and its template `{template}` is for {of_kind}: that counts");
        bundle.report.lost(subject, text, "give the node a template of its own kind");
    }
    if let Some(message) = &known.message {
        return message.clone();
    }
    let (of_template, shape) = (known.subject.clone(), known.shape.clone());
    let name = write(&of_template, shape, library, bundle);
    bundle.report.mapped(&of_template, format!("message `{name}`"));
    if let Some(known) = library.templates.get_mut(&id) {
        known.message = Some(name.clone());
    }
    name
}

fn write(subject: &Subject, template: Template, library: &Library, bundle: &mut Bundle) -> String {
    let Template {
        created_at: _,
        definition,
        draft,
        id: _,
        name,
        resource_type: _,
        r#type: _,
        updated_at: _,
        workspace_id: _,
    } = template;
    let contents = published(subject, definition, draft, bundle);
    let Contents {
        android,
        attachment_user_properties,
        bcc,
        body,
        cc,
        email_contents_type,
        from,
        headers,
        identifier_key,
        image_url,
        name: sender,
        reply_to,
        subject: title,
        title: push_title,
        r#type,
    } = contents;
    let left = [
        ("android", android),
        ("attachmentUserProperties", attachment_user_properties),
        ("bcc", bcc.map(Value::from)),
        ("cc", cc.map(Value::from)),
        ("headers", headers),
        ("imageUrl", image_url.map(Value::from)),
        ("replyTo", reply_to.map(Value::from)),
    ];
    bundle.report.left_out(subject, left, "nothing here takes it");
    let (kind, name) = (r#type.unwrap_or_default(), name.unwrap_or_default());
    let usual = match kind.as_str() {
        "Email" => "email",
        "Sms" => "phone",
        _ => "id",
    };
    if let Some(key) = identifier_key.filter(|key| !key.is_empty() && key != usual) {
        let text = format!("`identifierKey` {key}: mails go to `profile.email`, webhooks to the surface's URL");
        bundle.report.lost(subject, text, "keep the address there");
    }
    if kind != "Email" {
        let senders = [("from", from.clone().map(Value::from)), ("name", sender.clone().map(Value::from))];
        bundle.report.left_out(subject, senders, "tell your provider where you send it");
    }
    let mut writer = Writer { subject, library, bundle };
    if let (Some(Value::String(text)), "Webhook") = (&body, kind.as_str()) {
        return writer.webhook(&name, text);
    }
    let body_text = writer.text(body, email_contents_type);
    let body = writer.template(&body_text);
    let title = writer.template(&[title, push_title].into_iter().flatten().collect::<Vec<_>>().join("\n"));
    if kind == "Email" {
        if body_text.trim_start().starts_with("<mjml") {
            let text = "the body is MJML, which no mail program reads";
            writer.bundle.report.lost(subject, text, "make HTML of it (`npx mjml`), and write that into the message");
        }
        return writer.mail(&name, title, body, from, sender.as_deref());
    }
    writer.line(&name, &kind, title, body)
}

/// What a template holds: what was published, or its draft where nothing was.
fn published(subject: &Subject, definition: Option<Contents>, draft: Option<Value>, bundle: &mut Bundle) -> Contents {
    let Some(draft) = draft.filter(|draft| !is_nothing(draft)) else { return definition.unwrap_or_default() };
    if let Some(definition) = definition {
        let help = "publish it there and export again, if it counts";
        bundle.report.left_out(subject, [("draft", Some(draft))], help);
        return definition;
    }
    bundle.report.differs(subject, "is made of its draft: nothing was published", "look whether that is meant");
    unread::read(&draft, subject, &mut bundle.report).unwrap_or_default()
}

/// The field of the profile that a user property is, if it is one.
pub(super) fn property_path(library: &Library, called: &str) -> Option<Vec<String>> {
    let UserPropertyDefinition { path, r#type } = library.property(called)?.definition.clone()?;
    (r#type.as_deref() == Some("Trait")).then(|| segments(&path.unwrap_or_default()))?
}

struct Writer<'w> {
    subject: &'w Subject,
    library: &'w Library,
    bundle: &'w mut Bundle,
}

impl Writer<'_> {
    /// A line of the log in the place of a channel that is not here.
    fn line(&mut self, name: &str, kind: &str, title: String, body: String) -> String {
        let text = format!("there is no channel for {kind} yet: a line of the log instead");
        self.bundle.report.lost(self.subject, text, "send it by a webhook to your provider: `channel: webhook`");
        let parts: Vec<String> = [title, body].into_iter().filter(|part| !part.is_empty()).collect();
        self.bundle.message(name, Leaves::Log, parts.join("\n"))
    }

    fn template(&mut self, source: &str) -> String {
        let (library, declared, mut problems) = (self.library, &mut self.bundle.declared, Vec::new());
        let mut resolve = |path: &str| {
            let rest = path.strip_prefix("user.").ok_or("no field of the profile")?;
            let rest = segments(rest).ok_or("only a field's name is known")?;
            let Some(property) = library.property(&rest[0]) else {
                // User properties are traits of the same name unless somebody says otherwise.
                return if rest == ["id"] { Ok("journey.key".to_owned()) } else { declared.profile(&rest, None) };
            };
            match property.definition.as_ref().and_then(|definition| definition.r#type.as_deref()) {
                Some("Id" | "AnonymousId") => Ok("journey.key".to_owned()),
                Some("Trait") => {
                    let mut path = property_path(library, &rest[0]).ok_or("its path is no field")?;
                    path.extend(rest.into_iter().skip(1));
                    declared.profile(&path, None)
                }
                other => Err(format!("a user property of type {}", other.unwrap_or("unknown"))),
            }
        };
        let text = translate(source, Dialect::Liquid, &mut resolve, &mut problems);
        for problem in problems {
            self.bundle.report.lost(self.subject, problem, "write it in the language of messages (docs/messages.md)");
        }
        text
    }

    /// The text of a body that is none of the low-code editor's.
    fn text(&mut self, body: Option<Value>, contents: Option<String>) -> String {
        match body {
            Some(Value::String(text)) => text,
            body => {
                let drawing = [("body", body), ("emailContentsType", contents.map(Value::from))];
                let help = "it is drawn in the low-code editor: export its HTML";
                self.bundle.report.left_out(self.subject, drawing, help);
                String::new()
            }
        }
    }

    fn mail(&mut self, name: &str, title: String, body: String, from: Option<String>, sender: Option<&str>) -> String {
        let from = from.filter(|from| !from.is_empty());
        let fixed = from.clone().filter(|from| !from.contains("{{") && from.contains('@'));
        if fixed.is_none() {
            let named = from.map(|from| format!(" as which {from} can't stand")).unwrap_or_default();
            let text = format!("no sender is known{named}: {NO_SENDER} stands for it");
            self.bundle.report.lost(self.subject, text, "set `from` in surfaces.yaml");
        }
        let address = fixed.unwrap_or_else(|| NO_SENDER.to_owned());
        let plain = |name: &str| !name.is_empty() && !name.contains("{{") && !name.contains(['"', '<', '>', '\\']);
        let from = match sender.filter(|name| !name.is_empty()) {
            Some(sender) if plain(sender) => format!("\"{sender}\" <{address}>"),
            Some(sender) => {
                let text = format!("the sender's name {sender:?} is left out");
                self.bundle.report.lost(self.subject, text, "set `from` in surfaces.yaml");
                address
            }
            None => address,
        };
        let surface = self.bundle.mail_surface(from, self.subject);
        self.bundle.message(name, Leaves::Mail { surface, subject: title }, body)
    }

    /// The body is JSON with the request's `config`, and a part `secret` that is merged into it and goes nowhere from here.
    fn webhook(&mut self, name: &str, body: &str) -> String {
        let Ok(request) = serde_json::from_str::<Value>(body) else {
            let text = "its body is no JSON before its values are put in: not copied, since it may hold secrets";
            self.bundle.report.lost(self.subject, text, "write the message by hand");
            return self.bundle.message(name, Leaves::Log, "webhook".to_owned());
        };
        self.left_of_request(&request);
        let part = |key: &str| request.get("config").and_then(|config| config.get(key)).cloned();
        let source = match part("data").unwrap_or(Value::Null) {
            Value::String(text) => text,
            Value::Null => String::new(),
            data => serde_json::to_string_pretty(&data).unwrap_or_default(),
        };
        let body = self.template(&source);
        let url = part("url").unwrap_or(Value::Null);
        match url.as_str().filter(|url| is_web_address(url)) {
            Some(url) => {
                let surface = self.bundle.surface(Reach::Hook(url.to_owned()));
                self.bundle.message(name, Leaves::Hook { surface }, body)
            }
            None => {
                let text = format!("no fixed URL to call ({}): a line of the log instead", json(&url));
                self.bundle.report.lost(self.subject, text, "call it by an `action`, whose path may hold values");
                self.bundle.message(name, Leaves::Log, body)
            }
        }
    }

    /// Tells what a webhook of ours does not send. Values of headers may be secret: only their names are told.
    fn left_of_request(&mut self, request: &Value) {
        let config = request.get("config").cloned().unwrap_or(Value::Null);
        let is_post = |method: &Value| method.as_str().is_some_and(|method| method.eq_ignore_ascii_case("post"));
        if let Some(method) = config.get("method").filter(|method| !is_post(method)) {
            let text = format!("method {} becomes POST", json(method));
            self.bundle.report.lost(self.subject, text, "call it by an `action`");
        }
        let names = |value: Option<&Value>| value.and_then(Value::as_object).map(|map| map.keys().cloned().collect());
        let left = [
            ("config.headers", names(config.get("headers"))),
            ("config.params", config.get("params").cloned()),
            ("config.responseType", config.get("responseType").cloned()),
            ("secret", names(request.get("secret"))),
        ];
        let help =
            "call it by an `action`, which sends headers and a query, and whose `auth` names environment variables";
        self.bundle.report.left_out(self.subject, left, help);
        let known = ["url", "method", "headers", "params", "responseType", "data"];
        unread::beside(&config, &known, self.subject, &mut self.bundle.report);
        unread::beside(request, &["config", "secret"], self.subject, &mut self.bundle.report);
    }
}
