//! Message templates of Pinpoint as messages: e-mails as mails, what has no channel here yet as lines of the log.

use std::collections::BTreeMap;

use serde_json::Value;

use super::read::Library;
use super::shapes::{PushTemplate, Template};
use crate::import::bundle::{Bundle, Leaves, NO_SENDER};
use crate::import::report::Subject;
use crate::import::template::{Dialect, translate, verbatim};
use crate::import::text::{json, literal, segments};

/// What a message activity says about its message.
#[derive(Debug)]
pub(super) struct Wanted {
    /// `EMAIL`, `SMS` or `PUSH`.
    pub(super) kind: &'static str,
    pub(super) template: String,
    pub(super) from: Option<String>,
}

/// The message of an activity; one for each template and sender.
pub(super) fn message(wanted: &Wanted, subject: &Subject, library: &mut Library, bundle: &mut Bundle) -> String {
    let Wanted { kind, template, from } = wanted;
    let known = library.templates.get_mut(&(template.clone(), *kind));
    let Some(known) = known else {
        let name = if template.is_empty() { "without a template".to_owned() } else { format!("template `{template}`") };
        let text = format!("{name} is not there: its message is a line of the log");
        let command = match *kind {
            "SMS" => "get-sms-template",
            "PUSH" => "get-push-template",
            _ => "get-email-template",
        };
        let help = format!("give the answer of `aws pinpoint {command}` too, or write the message");
        bundle.report.lost(subject, text, &help);
        let body = verbatim(&format!("{kind} {template}"));
        return bundle.message(template, Leaves::Log, body);
    };
    known.is_used = true;
    if let (Some(message), None) = (&known.message, from) {
        return message.clone();
    }
    let (of_template, shape) = (known.subject.clone(), known.shape.clone());
    let name = write(kind, from.as_deref(), &of_template, shape, bundle);
    bundle.report.mapped(&of_template, format!("message `{name}`"));
    if from.is_none() {
        known.message = Some(name.clone());
    }
    name
}

fn write(kind: &str, from: Option<&str>, subject: &Subject, template: Template, bundle: &mut Bundle) -> String {
    let Template {
        adm,
        apns,
        arn: _,
        baidu,
        body,
        creation_date: _,
        default,
        default_substitutions,
        gcm,
        headers,
        html_part,
        last_modified_date: _,
        recommender_id,
        subject: title,
        tags: _,
        template_description: _,
        template_name,
        template_type: _,
        text_part,
        version: _,
    } = template;
    let left = [("ADM", adm), ("APNS", apns), ("Baidu", baidu), ("GCM", gcm), ("Headers", headers)];
    bundle.report.left_out(subject, left, "nothing here takes it");
    if let Some(model) = recommender_id {
        bundle.report.lost(
            subject,
            format!("recommender `{model}` is not asked"),
            "put what it recommends into the profile",
        );
    }
    let mut writer = Writer { subject, defaults: substitutions(default_substitutions, subject, bundle), bundle };
    let name = template_name.unwrap_or_default();
    if kind == "EMAIL" {
        let beside = [("Body", body.map(Value::from)), ("Default", default.map(|default| Value::from(json(&default))))];
        writer.bundle.report.left_out(subject, beside, "an e-mail has an `HtmlPart` and a `TextPart`");
        let (html, text) = (html_part.filter(|part| !part.is_empty()), text_part.filter(|part| !part.is_empty()));
        if let (Some(_), Some(text)) = (&html, &text) {
            let text = format!("`TextPart` is left out: {}", json(text));
            writer.bundle.report.differs(subject, text, "the text part of a mail is made of its HTML");
        }
        let body = writer.template(&html.or(text).unwrap_or_default());
        let title = writer.template(&title.unwrap_or_default());
        if from.is_none() {
            let text = format!("no sender is named: {NO_SENDER} stands for it");
            bundle.report.lost(subject, text, "set `from` in surfaces.yaml");
        }
        let surface = bundle.mail_surface(from.unwrap_or(NO_SENDER).to_owned(), subject);
        return bundle.message(&name, Leaves::Mail { surface, subject: title }, body);
    }
    let PushTemplate { action, body: push_body, sound, title: push_title, url } = default.unwrap_or_default();
    let left = [("Default.Action", action), ("Default.Sound", sound), ("Default.Url", url)];
    writer.bundle.report.left_out(subject, left, "there is no push channel yet");
    let parts = [title, html_part, text_part, push_title, push_body, body].into_iter().flatten();
    let body = parts.filter(|part| !part.is_empty()).map(|part| writer.template(&part)).collect::<Vec<_>>().join("\n");
    let text = format!("there is no channel for {kind} yet: a line of the log instead");
    bundle.report.lost(subject, text, "send it by a webhook to your provider: `channel: webhook`");
    bundle.message(&name, Leaves::Log, body)
}

/// `DefaultSubstitutions`: values for what is missing.
fn substitutions(text: Option<String>, subject: &Subject, bundle: &mut Bundle) -> BTreeMap<String, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return BTreeMap::new() };
    match serde_json::from_str::<BTreeMap<String, Value>>(&text) {
        Ok(map) => {
            let plain = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            map.into_iter().map(|(path, value)| (path, plain(value))).collect()
        }
        Err(_) => {
            bundle.report.lost(
                subject,
                format!("`DefaultSubstitutions` can't be read: {text}"),
                "write `|default('…', true)`",
            );
            BTreeMap::new()
        }
    }
}

struct Writer<'w> {
    subject: &'w Subject,
    defaults: BTreeMap<String, String>,
    bundle: &'w mut Bundle,
}

impl Writer<'_> {
    fn template(&mut self, source: &str) -> String {
        let mut problems = Vec::new();
        let (declared, defaults) = (&mut self.bundle.declared, &self.defaults);
        let mut resolve = |path: &str| {
            let expression = match field(path)? {
                Some(field) => declared.profile(&field, None)?,
                None => "journey.key".to_owned(),
            };
            let default = defaults.get(path).map(|value| format!("|default({}, true)", literal(value)));
            Ok(expression + &default.unwrap_or_default())
        };
        let text = translate(source, Dialect::Handlebars, &mut resolve, &mut problems);
        for problem in problems {
            self.bundle.report.lost(self.subject, problem, "write it in the language of messages (docs/messages.md)");
        }
        text
    }
}

/// The field of the profile that a message variable reads; `None` is the id of the profile.
fn field(path: &str) -> Result<Option<Vec<String>>, String> {
    // Lists of one: the first is all there is here.
    let path = path.trim_end_matches(".[0]").trim_end_matches("[0]");
    let below = |above: &[&str], rest: &str| {
        let rest = segments(rest).ok_or("only a field's name is known")?;
        Ok(Some(above.iter().map(|part| (*part).to_owned()).chain(rest).collect()))
    };
    match path {
        "User.UserId" | "Id" => Ok(None),
        "Address" => Ok(Some(vec!["email".to_owned()])),
        _ => match path.split_once('.') {
            Some(("User", rest)) => match rest.split_once('.') {
                Some(("UserAttributes", name)) => below(&[], name),
                _ => Err("no field of the profile".to_owned()),
            },
            Some(("Attributes", name)) => below(&["attributes"], name),
            Some(("Metrics", name)) => below(&["metrics"], name),
            Some((group @ ("Demographic" | "Location"), name)) => {
                below(&[&group.to_lowercase()], &crate::import::text::slug(&snake(name)))
            }
            _ => Err("no field of the profile".to_owned()),
        },
    }
}

/// `PostalCode` is `postal_code`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// Says what a custom channel's requests look like now.
pub(super) fn tell_hook(subject: &Subject, bundle: &mut Bundle) {
    let text = "the request holds the message alone: `Message` and `Endpoints` are not around it";
    bundle.report.differs(subject, text, "write what the receiver wants into the body of the message");
}
