//! The resources that come out: what formats collect, and the files it becomes. Owns which resource stands in which file.

use super::declared::{Declared, Fields, Type};
use super::graph::{Finished, Form, Heard, Since, Target, UNHEARD, Wait};
use super::report::{Report, Subject};
use super::split::percent;
use super::text::{Names, is_mail_address};
use super::yaml::{Yaml, document};
use crate::domain::catalog::SourceFile;
use crate::domain::journey::duration;

/// Everything that comes out of one import.
#[derive(Debug, Default)]
pub(super) struct Bundle {
    pub(super) declared: Declared,
    pub(super) report: Report,
    pub(super) journeys: Vec<Journey>,
    pub(super) journey_names: Names,
    messages: Vec<Message>,
    message_names: Names,
    surfaces: Vec<(String, Reach)>,
    surface_names: Names,
}

/// How a message leaves.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Leaves {
    /// As a line in the log.
    Log,
    /// As a mail by this surface.
    Mail { surface: String, subject: String },
    /// As a request by this surface.
    Hook { surface: String },
}

/// Where a surface leads.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reach {
    /// A mail server, from this address.
    Mail(String),
    /// A web address.
    Hook(String),
}

#[derive(Debug)]
struct Message {
    name: String,
    /// What it was to be called.
    wanted: String,
    leaves: Leaves,
    body: String,
}

/// Sender of mails where the source names none.
pub(super) const NO_SENDER: &str = "sender@example.com";

/// When a profile may enter again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reentry {
    Never,
    /// After so many milliseconds, 5 minutes to 90 days.
    After(i64),
}

/// Whose clock times of day go by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Clock {
    #[default]
    Journey,
    Profile,
}

/// A journey.
#[derive(Debug)]
pub(super) struct Journey {
    pub(super) name: String,
    /// Where it comes from, a line of comment.
    pub(super) origin: String,
    pub(super) description: Option<String>,
    pub(super) timezone: Option<String>,
    pub(super) clock: Clock,
    pub(super) start_date: Option<String>,
    pub(super) end_date: Option<String>,
    pub(super) event: String,
    pub(super) when: Option<String>,
    pub(super) supplemental_id: Option<String>,
    pub(super) reentry: Reentry,
    pub(super) exit: Vec<(String, Option<String>)>,
    pub(super) graph: Finished,
}

/// Entries of a map in YAML.
type Entries = Vec<(String, Yaml)>;

fn entry(key: &str, value: Yaml) -> (String, Yaml) {
    (key.to_owned(), value)
}

impl Bundle {
    /// Adds a message called like `wanted`, unless there is the same already. Answers its name.
    pub(super) fn message(&mut self, wanted: &str, leaves: Leaves, body: String) -> String {
        let same = |m: &&Message| m.wanted == wanted && m.leaves == leaves && m.body == body;
        if let Some(known) = self.messages.iter().find(same) {
            return known.name.clone();
        }
        let name = self.message_names.take(wanted, "message");
        if matches!(leaves, Leaves::Mail { .. }) {
            // The address that mails go to. Something else there is for the checker to tell.
            let _ = self.declared.profile(&["email".to_owned()], Some(Type::Text));
        }
        self.messages.push(Message { name: name.clone(), wanted: wanted.to_owned(), leaves, body });
        name
    }

    /// The surface that leads there; a new one if there is none yet.
    pub(super) fn surface(&mut self, reach: Reach) -> String {
        if let Some((name, _)) = self.surfaces.iter().find(|(_, known)| *known == reach) {
            return name.clone();
        }
        let wanted = if matches!(reach, Reach::Mail(_)) { "mail" } else { "webhook" };
        let name = self.surface_names.take(wanted, wanted);
        self.surfaces.push((name.clone(), reach));
        name
    }

    /// A surface for mails from this address, which a part of the source names.
    pub(super) fn mail_surface(&mut self, from: String, of: &Subject) -> String {
        let known = is_mail_address(&from);
        if !known {
            let text = format!("{from:?} is no mail address: {NO_SENDER} stands for it");
            self.report.lost(of, text, "set `from` in surfaces.yaml");
        }
        let from = if known { from } else { NO_SENDER.to_owned() };
        let surface = self.surface(Reach::Mail(from));
        let subject = Subject { kind: "surface".to_owned(), id: surface.clone(), ..Subject::default() };
        let help = "set `host`, `port`, `tls` and the login of your relay in surfaces.yaml";
        self.report.lost(&subject, "the mail server is not known: 127.0.0.1:1025 stands for it", help);
        surface
    }

    /// Whether a journey sends this message: nodes that nobody comes to are left out.
    fn sends(&self, message: &str) -> bool {
        let nodes = self.journeys.iter().flat_map(|journey| &journey.graph.nodes);
        nodes.into_iter().any(|node| matches!(&node.form, Form::Message(sent, _) if sent == message))
    }

    /// All files, in order of name.
    pub(super) fn files(&self) -> Vec<SourceFile> {
        let mut files = Vec::new();
        let mut write = |name: String, documents: Vec<(Option<&str>, Entries)>| {
            if !documents.is_empty() {
                let mut text = String::new();
                for (index, (comment, entries)) in documents.iter().enumerate() {
                    text.push_str(if index > 0 { "---\n" } else { "" });
                    text.push_str(&comment.map(|comment| format!("# {comment}\n")).unwrap_or_default());
                    document(entries, &mut text);
                }
                files.push(SourceFile { name, text });
            }
        };
        let plain = |entries: Entries| (None, entries);
        let mut events = self.declared.events.clone();
        if self.journeys.iter().flat_map(|journey| &journey.graph.nodes).any(|node| node.form.is_deaf()) {
            events.entry(UNHEARD.to_owned()).or_default();
        }
        write("events.yaml".to_owned(), events.iter().map(|e| plain(event(e.0, e.1))).collect());
        for journey in &self.journeys {
            let name = format!("journeys/{}.yaml", journey.name);
            write(name, vec![(Some(journey.origin.as_str()), journey.entries())]);
        }
        let messages: Vec<&Message> = self.messages.iter().filter(|message| self.sends(&message.name)).collect();
        let leads = |surface: &str| messages.iter().any(|message| message.surface() == Some(surface));
        write("messages.yaml".to_owned(), messages.iter().map(|message| plain(message.entries())).collect());
        let attributes = self.declared.profile.iter();
        let surfaces = self.surfaces.iter().filter(|(name, _)| leads(name));
        write("profile.yaml".to_owned(), attributes.map(|(path, ty)| plain(attribute(path, *ty))).collect());
        write("surfaces.yaml".to_owned(), surfaces.map(|s| plain(surface(&s.0, &s.1))).collect());
        files
    }
}

fn event(name: &str, fields: &Fields) -> Entries {
    let leaves: Vec<(&[String], Type)> =
        fields.iter().map(|(p, ty)| (p.as_slice(), ty.unwrap_or(Type::Text))).collect();
    vec![entry("kind", Yaml::plain("event")), entry("name", Yaml::text(name)), entry("schema", schema(&leaves))]
}

/// Fields in order of path as maps within maps.
fn schema(leaves: &[(&[String], Type)]) -> Yaml {
    let mut entries: Entries = Vec::new();
    let mut rest = leaves;
    while let Some((path, ty)) = rest.first() {
        let within = rest.iter().take_while(|(other, _)| other[0] == path[0]).count();
        let value = if path.len() == 1 {
            Yaml::plain(ty.word())
        } else {
            schema(&rest[..within].iter().map(|(path, ty)| (&path[1..], *ty)).collect::<Vec<_>>())
        };
        entries.push((path[0].clone(), value));
        rest = &rest[within..];
    }
    Yaml::Map(entries)
}

fn attribute(path: &[String], ty: Option<Type>) -> Entries {
    let (name, ty) = (Yaml::text(path.join(".")), Yaml::plain(ty.unwrap_or(Type::Text).word()));
    vec![entry("kind", Yaml::plain("attribute")), entry("name", name), entry("type", ty)]
}

fn surface(name: &str, reach: &Reach) -> Entries {
    let mut entries = vec![entry("kind", Yaml::plain("surface")), entry("name", Yaml::text(name))];
    match reach {
        Reach::Mail(from) => {
            let (host, port) = (entry("host", Yaml::text("127.0.0.1")), entry("port", Yaml::plain("1025")));
            let smtp = vec![host, port, entry("from", Yaml::text(from))];
            entries.extend([entry("channel", Yaml::plain("email")), entry("smtp", Yaml::Map(smtp))]);
        }
        Reach::Hook(url) => {
            let webhook = Yaml::Map(vec![entry("url", Yaml::text(url))]);
            entries.extend([entry("channel", Yaml::plain("webhook")), entry("webhook", webhook)]);
        }
    }
    entries
}

impl Message {
    fn surface(&self) -> Option<&str> {
        match &self.leaves {
            Leaves::Log => None,
            Leaves::Mail { surface, .. } | Leaves::Hook { surface } => Some(surface),
        }
    }

    fn entries(&self) -> Entries {
        let mut entries = vec![entry("kind", Yaml::plain("message")), entry("name", Yaml::text(&self.name))];
        let mut leave = |channel: &str, surface: Option<&String>, subject: Option<&String>| {
            entries.push(entry("channel", Yaml::plain(channel)));
            entries.extend(surface.map(|surface| entry("surface", Yaml::text(surface))));
            entries.extend(subject.map(|subject| entry("subject", Yaml::text(subject))));
        };
        match &self.leaves {
            Leaves::Log => leave("log", None, None),
            Leaves::Mail { surface, subject } => leave("email", Some(surface), Some(subject)),
            Leaves::Hook { surface } => leave("webhook", Some(surface), None),
        }
        entries.push(entry("body", Yaml::text(&self.body)));
        entries
    }
}

impl Journey {
    fn entries(&self) -> Entries {
        let mut entries = vec![entry("kind", Yaml::plain("journey")), entry("name", Yaml::text(&self.name))];
        let mut add = |key: &str, value: Option<Yaml>| entries.extend(value.map(|value| entry(key, value)));
        add("description", self.description.as_ref().map(Yaml::text));
        add("timezone", self.timezone.as_ref().map(Yaml::text));
        add("local_time", (self.clock == Clock::Profile).then(|| Yaml::plain("profile")));
        add("start_date", self.start_date.as_ref().map(Yaml::plain));
        add("end_date", self.end_date.as_ref().map(Yaml::plain));
        let mut enters = vec![entry("event", Yaml::text(&self.event))];
        enters.extend(self.when.as_ref().map(|when| entry("when", Yaml::text(when))));
        enters.extend(self.supplemental_id.as_ref().map(|id| entry("supplemental_id", Yaml::text(id))));
        add("entry", Some(Yaml::Map(enters)));
        add(
            "reentry",
            Some(match self.reentry {
                Reentry::Never => Yaml::plain("never"),
                Reentry::After(after) => Yaml::Map(vec![entry("after", Yaml::plain(duration::print(after)))]),
            }),
        );
        let exits = self.exit.iter().map(|(event, when)| {
            let mut exit = vec![entry("event", Yaml::text(event))];
            exit.extend(when.as_ref().map(|when| entry("when", Yaml::text(when))));
            Yaml::Map(exit)
        });
        add("exit", (!self.exit.is_empty()).then(|| Yaml::List(exits.collect())));
        add("start", Some(Yaml::text(&self.graph.start)));
        let end = &self.graph.end;
        let mut nodes: Entries = self.graph.nodes.iter().map(|n| (n.name.clone(), node(&n.form, end))).collect();
        nodes.push((end.clone(), Yaml::Map(vec![entry("end", Yaml::plain("true"))])));
        add("nodes", Some(Yaml::Lines(nodes)));
        entries
    }
}

fn node(form: &Form, end: &str) -> Yaml {
    let to = |target: &Target| match target {
        Target::Node(name) => Yaml::text(name),
        Target::End | Target::Source(_) => Yaml::text(end),
    };
    let then = |target: &Target| entry("then", to(target));
    Yaml::Map(match form {
        Form::Wait(until, target) => vec![entry("wait", wait(until)), then(target)],
        Form::Message(message, target) => vec![entry("message", Yaml::text(message)), then(target)],
        Form::Jump(journey, target) => {
            vec![entry("jump", Yaml::text(journey)), then(target), entry("on_error", to(target))]
        }
        Form::Update(fields, target) => {
            let fields = fields.iter().map(|(field, value)| (field.clone(), Yaml::text(value))).collect();
            vec![entry("update_profile", Yaml::Map(fields)), then(target), entry("on_error", to(target))]
        }
        Form::Condition(branches, otherwise) => {
            let branch =
                |(when, target): &(String, Target)| Yaml::Map(vec![entry("when", Yaml::text(when)), then(target)]);
            let branches = branches.iter().map(branch).collect();
            vec![entry("condition", Yaml::List(branches)), entry("otherwise", to(otherwise))]
        }
        Form::Split(ways) => {
            let way = |(share, target): &(u32, Target)| {
                Yaml::Map(vec![entry("percent", Yaml::plain(percent(*share))), then(target)])
            };
            vec![entry("split", Yaml::List(ways.iter().map(way).collect()))]
        }
        Form::Event(heard, within, target, on_timeout) => {
            let mut entries = awaited(heard);
            let within = Yaml::plain(duration::print(*within));
            entries.extend([entry("within", within), then(target), entry("on_timeout", to(on_timeout))]);
            entries
        }
        Form::FirstOf(ways, until, target) => {
            let event = |(heard, target): &(Heard, Target)| {
                Yaml::Map(awaited(heard).into_iter().chain([then(target)]).collect())
            };
            let timeout = Yaml::Map(vec![entry("wait", wait(until)), then(target)]);
            vec![entry("first_of", Yaml::List(ways.iter().map(event).chain([timeout]).collect()))]
        }
    })
}

fn awaited(heard: &Heard) -> Entries {
    let mut entries = vec![entry("event", Yaml::text(&heard.event))];
    entries.extend(heard.of.as_ref().map(|of| entry("of", Yaml::text(of))));
    entries.extend((heard.since == Since::Entry).then(|| entry("since", Yaml::plain("entry"))));
    entries.extend(heard.when.as_ref().map(|when| entry("when", Yaml::text(when))));
    entries
}

fn wait(wait: &Wait) -> Yaml {
    match wait {
        Wait::For(wait_ms) => Yaml::plain(duration::print(*wait_ms)),
        Wait::Until(expression) => Yaml::Map(vec![entry("until", Yaml::text(expression))]),
        Wait::At(time, days) => {
            let mut entries = vec![entry("time", Yaml::text(time))];
            let days: Vec<Yaml> = days.iter().map(|day| Yaml::plain(*day)).collect();
            entries.extend((!days.is_empty()).then(|| entry("days", Yaml::List(days))));
            Yaml::Map(entries)
        }
    }
}
