//! Forms and options of what was read, by their words. Every `match` and every pattern is complete: what the language
//! gains does not compile here until it has a word.

use crate::domain::calendar::{Moment, Period};
use crate::domain::dataset::Dataset;
use crate::domain::endpoint::{
    Algorithm, Asking, Assertion, Auth, Capping, Deployment, Encoding, Endpoint, KeyPlace, Method, Throttling,
    TokenGrant,
};
use crate::domain::event::FEEDBACK_TYPES;
use crate::domain::expression::Type;
use crate::domain::journey::action::{ActionDefinition, ActionShape, BodyDefinition};
use crate::domain::journey::definition::{
    ArmDefinition, AttributeDefinition, AwaitedDefinition, BranchDefinition, ChoiceDefinition, Dates, EntryCap,
    EventDefinition, FilterDefinition, Format, FragmentDefinition, JourneyDefinition, LocalTime, MessageDefinition,
    MigrationDefinition, NodeDefinition, NodeForm, OptimizeMethod, RacerDefinition, RuleSetDefinition, Since,
    TestDefinition, WaitDefinition,
};
use crate::domain::journey::program::{Channel, Reentry};
use crate::domain::journey::source::{DatasetFile, Kind, Records, Resources};
use crate::domain::limits;
use crate::domain::surface::{InDoubt, Network, Secret, Settings, Smtp, Surface, Tls, Webhook};

use super::Met;

/// A function that notes the word of a value, among those of all values of its type.
macro_rules! words {
    ($name:ident: $of:ty { $($pattern:pat => $word:literal),+ $(,)? } $(never $never:pat)?) => {
        fn $name(met: &mut Met, value: &$of) {
            let drawn = match value {
                $($pattern => $word,)+
                $($never => unreachable!("{value:?} is never written"),)?
            };
            met.one_of(&[$($word),+], drawn);
        }
    };
}

words!(kind: Kind {
    Kind::Event => "kind: event",
    Kind::Attribute => "kind: attribute",
    Kind::Surface => "kind: surface",
    Kind::Action => "kind: action",
    Kind::DataSource => "kind: data_source",
    Kind::Dataset => "kind: dataset",
    Kind::Capping => "kind: capping",
    Kind::Throttling => "kind: throttling",
    Kind::Message => "kind: message",
    Kind::RuleSet => "kind: rule_set",
    Kind::Fragment => "kind: fragment",
    Kind::Journey => "kind: journey",
});
words!(form: NodeForm {
    NodeForm::Wait { .. } => "node: wait",
    NodeForm::Condition { .. } => "node: condition",
    NodeForm::Split { .. } => "node: split",
    NodeForm::Event { .. } => "node: event",
    NodeForm::FirstOf { .. } => "node: first_of",
    NodeForm::Message { .. } => "node: message",
    NodeForm::UpdateProfile { .. } => "node: update_profile",
    NodeForm::Jump { .. } => "node: jump",
    NodeForm::Optimize { method: OptimizeMethod::Experiment { .. } } => "node: optimize, experiment",
    NodeForm::Optimize { method: OptimizeMethod::Targeting { .. } } => "node: optimize, targeting",
    NodeForm::ProfileCap { .. } => "node: profile_cap",
    NodeForm::Action { .. } => "node: action",
    NodeForm::Lookup { .. } => "node: lookup",
    NodeForm::End => "node: end",
} never NodeForm::Fragment { .. } | NodeForm::Broken);
words!(wait: WaitDefinition {
    WaitDefinition::For(_) => "wait: duration",
    WaitDefinition::Until(_) => "wait: until",
    WaitDefinition::Local { .. } => "wait: time, days",
});
words!(test: TestDefinition {
    TestDefinition::When(_) => "condition: when",
    TestDefinition::Time(_) => "condition: time",
    TestDefinition::Date(_) => "condition: date",
});
words!(since: Since {
    Since::Entry => "since: entry",
    Since::LastMessage => "since: last_message",
    Since::Here => "since: here",
});
words!(local_time: LocalTime { LocalTime::Journey => "local_time: journey", LocalTime::Profile => "local_time: profile" });
words!(reentry: Reentry { Reentry::Never => "reentry: never", Reentry::After(_) => "reentry: after" });
words!(choice: ChoiceDefinition {
    ChoiceDefinition::Keep => "migration: keep",
    ChoiceDefinition::Exit => "migration: exit",
    ChoiceDefinition::Recompute => "migration: recompute",
    ChoiceDefinition::Move(_) => "migration: move",
});
words!(moment: Moment {
    Moment::Instant(_) => "date: an instant",
    Moment::Local(_) => "date: a local time",
    Moment::Day(_) => "date: a day",
});
words!(format: Format { Format::Text => "format: text", Format::Html => "format: html", Format::Json => "format: json" });
words!(channel: Channel {
    Channel::Log => "channel: log",
    Channel::Webhook => "channel: webhook",
    Channel::Email => "channel: email",
} never Channel::Call);
words!(declared: Type {
    Type::String => "type: string",
    Type::Integer => "type: integer",
    Type::Number => "type: number",
    Type::Boolean => "type: boolean",
    Type::Timestamp => "type: timestamp",
    Type::List(_) => "type: list",
    Type::Object(_) => "type: object",
} never Type::Duration | Type::Null);
words!(field: Type {
    Type::String => "dataset: string",
    Type::Integer => "dataset: integer",
    Type::Number => "dataset: number",
    Type::Boolean => "dataset: boolean",
    Type::Timestamp => "dataset: timestamp",
} never Type::List(_) | Type::Object(_) | Type::Duration | Type::Null);
words!(records: Records { Records::Given => "dataset: records", Records::Loaded => "dataset: no records" });
words!(period: Period {
    Period::Hour => "rule_set: per hour",
    Period::Day => "rule_set: per day",
    Period::Week => "rule_set: per week",
    Period::Month => "rule_set: per month",
});
words!(method: Method { Method::Get => "method: GET", Method::Post => "method: POST", Method::Put => "method: PUT" });
words!(auth: Auth {
    Auth::None => "auth: none",
    Auth::Basic { .. } => "auth: basic",
    Auth::ApiKey { .. } => "auth: api_key",
    Auth::Token(_) => "auth: token",
});
words!(key_place: KeyPlace {
    KeyPlace::Bearer => "auth: a bearer",
    KeyPlace::Header(_) => "auth: a header",
    KeyPlace::Query(_) => "auth: a query",
});
words!(algorithm: Algorithm { Algorithm::Rs256 => "auth: RS256", Algorithm::Es256 => "auth: ES256" });
words!(encoding: Encoding { Encoding::Form => "auth: form", Encoding::Json => "auth: json" });
words!(body: BodyDefinition {
    BodyDefinition::Null => "body: null",
    BodyDefinition::Value(_) => "body: an expression",
    BodyDefinition::List(_) => "body: a list",
    BodyDefinition::Object(_) => "body: an object",
});
words!(deployment: Deployment {
    Deployment::Deployed => "throttling: deployed",
    Deployment::Undeployed => "throttling: not deployed",
});
words!(settings: Settings { Settings::Smtp(_) => "surface: smtp", Settings::Webhook(_) => "surface: webhook" });
words!(in_doubt: InDoubt {
    InDoubt::Hold => "in_doubt: hold",
    InDoubt::PreferLoss => "in_doubt: prefer-loss",
    InDoubt::PreferDuplicate => "in_doubt: prefer-duplicate",
});
words!(tls: Tls { Tls::None => "tls: none", Tls::Starttls => "tls: starttls", Tls::Implicit => "tls: implicit" });
words!(network: Network {
    Network::Public => "network: public",
    Network::AllowPrivate => "network: allow_private",
});
words!(secret: Secret { Secret::Inline(_) => "secret: in place", Secret::Env(_) => "secret: of the environment" });

/// Notes everything that was read.
pub(super) fn resources(met: &mut Met, read: &Resources) {
    let Resources {
        events,
        attributes,
        surfaces,
        actions,
        datasets,
        cappings,
        throttlings,
        messages,
        rule_sets,
        fragments,
        taken,
        journeys,
        trials: _,
        places,
        partial: _,
    } = read;
    places.keys().for_each(|(of, _)| kind(met, of));
    for EventDefinition { name: _, schema, rule, broken: _ } in events.values() {
        schema.iter().for_each(|(_, of)| a_type(met, of));
        met.note("event: of, when", rule.is_some());
    }
    for AttributeDefinition { name: _, value_type, broken: _ } in attributes.values() {
        a_type(met, value_type);
        met.note("attribute: a list", matches!(value_type, Type::List(_)));
    }
    surfaces.values().for_each(|surface| a_surface(met, &surface.value));
    actions.values().for_each(|action| an_action(met, action));
    datasets.values().for_each(|dataset| a_dataset(met, &dataset.value));
    for Capping { name: _, url: _, methods, calls: _, period_ms: _ } in cappings.values() {
        met.note("capping: methods", methods.len() < Method::WORDS.len());
    }
    for throttling in throttlings.values() {
        let Throttling { name: _, url: _, methods, throughput_max: _, deployment: of } = &throttling.value;
        met.note("throttling: methods", methods.len() < Method::WORDS.len());
        deployment(met, of);
    }
    for MessageDefinition { name: _, channel: by, surface: _, subject, body: _, format: of, broken: _ } in
        messages.values()
    {
        channel(met, by);
        format(met, of);
        met.note("message: subject", subject.is_some());
    }
    for RuleSetDefinition { name: _, entries, concurrent, broken: _ } in rule_sets.values() {
        met.note("rule_set: concurrent", concurrent.is_some());
        if let Some(EntryCap { max: _, per }) = entries {
            period(met, per);
        }
    }
    for FragmentDefinition { name: _, start: _, nodes, broken: _ } in fragments.values() {
        nodes.iter().for_each(|node| in_fragment(met, &node.form));
        met.note("fragment: four nodes or more", nodes.len() > 4);
    }
    met.note("node: fragment", !taken.is_empty());
    journeys.values().for_each(|journey| a_journey(met, journey));
}

fn a_type(met: &mut Met, of: &Type) {
    declared(met, of);
    match of {
        Type::List(item) => {
            met.note("type: a list of scalars", !matches!(**item, Type::Object(_) | Type::List(_)));
            a_type(met, item);
        }
        Type::Object(fields) => fields.iter().for_each(|(_, of)| a_type(met, of)),
        _ => {}
    }
}

fn a_surface(met: &mut Met, surface: &Surface) {
    let Surface { name: _, settings: of, in_doubt: doubt, attempt_timeout_ms, retry_for_ms } = surface;
    settings(met, of);
    in_doubt(met, doubt);
    met.note("surface: timeout", ![10_000, 120_000].contains(attempt_timeout_ms));
    met.note("surface: retry_for", *retry_for_ms != 86_400_000);
    match of {
        Settings::Smtp(Smtp { host: _, port: _, from: _, tls: by, username, password }) => {
            tls(met, by);
            met.note("smtp: username", username.is_some());
            password.iter().for_each(|password| secret(met, password));
        }
        Settings::Webhook(Webhook { url: _, secret: signs, network: of }) => {
            network(met, of);
            met.note("webhook: secret", signs.is_some());
        }
    }
}

fn an_action(met: &mut Met, action: &ActionDefinition) {
    let ActionDefinition { name: _, endpoint, shape, broken: _ } = action;
    let ActionShape { method: by, parameters, path, query, headers, body: says, response, error_response } = shape;
    method(met, by);
    parameters.iter().chain(response).chain(error_response).for_each(|(_, of)| a_type(met, of));
    met.note("action: path", path.is_some());
    met.note("action: query", !query.is_empty());
    met.note("action: headers", !headers.is_empty());
    met.note("action: body", says.is_some());
    says.iter().for_each(|says| a_body(met, says));
    let Some(Endpoint { name: _, url: _, auth: by, network: of, asking }) = endpoint else { return };
    network(met, of);
    if let Some(Asking { calls, period_ms: _, cache_ms }) = asking {
        met.note("data_source: cache", *cache_ms > 0);
        met.note("data_source: rating", *calls != limits::SOURCE_CALLS_MAX);
    }
    auth(met, by);
    match by {
        Auth::None => {}
        Auth::Basic { username: _, password } => secret(met, password),
        Auth::ApiKey { place, key } => {
            key_place(met, place);
            secret(met, key);
        }
        Auth::Token(grant) => a_grant(met, grant),
    }
}

fn a_body(met: &mut Met, says: &BodyDefinition) {
    body(met, says);
    match says {
        BodyDefinition::Null | BodyDefinition::Value(_) => {}
        BodyDefinition::List(items) => items.iter().for_each(|item| a_body(met, item)),
        BodyDefinition::Object(fields) => fields.iter().for_each(|(_, value)| a_body(met, value)),
    }
}

fn a_grant(met: &mut Met, grant: &TokenGrant) {
    let TokenGrant { url, method: by, headers, fields, encoding: how, token_in, place, cache_ms, assertion } = grant;
    met.note("auth: a token by GET", *by == Method::Get);
    met.note("auth: headers of a token", !headers.is_empty());
    fields.iter().chain(headers).for_each(|(_, value)| secret(met, value));
    encoding(met, how);
    met.note("auth: token_in", token_in.len() != 1 || token_in[0] != "access_token");
    key_place(met, place);
    met.note("auth: cache", *cache_ms != 3_600_000);
    met.note("auth: certificate", assertion.is_some());
    if let Some(Assertion { issuer: _, audience, algorithm: by, key, key_id, thumbprint }) = assertion {
        secret(met, key);
        algorithm(met, by);
        met.note("auth: audience", audience != url);
        met.note("auth: key_id, thumbprint", key_id.is_some() && thumbprint.is_some());
    }
}

fn a_dataset(met: &mut Met, file: &DatasetFile) {
    let DatasetFile { dataset: Dataset { name: _, key: _, schema, records: _ }, records: whose } = file;
    schema.iter().for_each(|(_, of)| field(met, of));
    records(met, whose);
}

fn a_filter(met: &mut Met, filter: &FilterDefinition) -> bool {
    let FilterDefinition { event: _, when } = filter;
    met.note("event: when", when.is_some());
    when.is_some()
}

fn a_journey(met: &mut Met, journey: &JourneyDefinition) {
    let JourneyDefinition {
        name: _,
        description,
        timezone,
        local_time: whose,
        starts_at,
        ends_at,
        entry,
        supplemental_id,
        rule_set,
        priority,
        reentry: again,
        exit,
        exit_when,
        timeout_ms,
        call_timeout_ms,
        start: _,
        nodes,
        migration,
        broken: _,
    } = journey;
    met.note("journey: description", description.is_some());
    met.note("journey: timezone", timezone != "UTC");
    local_time(met, whose);
    met.note("journey: start_date", starts_at.is_some());
    met.note("journey: end_date", ends_at.is_some());
    let is_filtered = a_filter(met, entry);
    met.note("entry: when", is_filtered);
    met.note("entry: supplemental_id", supplemental_id.is_some());
    met.note("journey: rule_set", rule_set.is_some());
    met.note("journey: priority", *priority != 50);
    reentry(met, &again.value);
    met.note("exit: three events or more", exit.len() > 2);
    met.note("exit: when", exit_when.len() == 1);
    met.note("exit: when, twice", exit_when.len() > 1);
    met.note("journey: timeout", *timeout_ms != limits::TIMEOUT_MS_MAX);
    met.note("journey: call_timeout", *call_timeout_ms != limits::CALL_TIMEOUT_RANGE_MS.1);
    nodes.iter().for_each(|node| a_node(met, node));
    if let Some(migration) = migration {
        let MigrationDefinition { default, nodes } = &migration.value;
        met.note("migration: default", default.is_some());
        default.iter().chain(nodes.iter().map(|(_, of)| of)).for_each(|of| choice(met, &of.value));
    }
}

fn a_node(met: &mut Met, node: &NodeDefinition) {
    let NodeDefinition { name, form: does, on_error } = node;
    form(met, does);
    let is_copied = name.value.contains('.');
    if does.may_fail() && !is_copied {
        met.note(&format!("on_error of {}", form_word(does)), on_error.is_some());
    }
    match does {
        NodeForm::Wait { wait: how, then: _ } => wait(met, how),
        NodeForm::Condition { branches, otherwise } => {
            met.note("condition: otherwise", otherwise.is_some());
            met.note("condition: no otherwise", otherwise.is_none());
            for BranchDefinition { test: asks, then: _ } in branches {
                test(met, asks);
                if let TestDefinition::Date(Dates { from, to }) = asks {
                    from.iter().chain(to).for_each(|of| moment(met, of));
                }
            }
        }
        NodeForm::Split { shares } => met.note("split: more than three ways", shares.len() > 3),
        NodeForm::Event { awaited, within_ms, then: _, on_timeout } => {
            an_awaited(met, awaited);
            met.note("event: within", within_ms.is_some());
            met.note("event: on_timeout", on_timeout.is_some());
        }
        NodeForm::FirstOf { arms } => {
            for ArmDefinition { what, then: _ } in arms {
                match what {
                    RacerDefinition::Event(awaited) => an_awaited(met, awaited),
                    RacerDefinition::Wait(how) => wait(met, how),
                }
            }
        }
        NodeForm::UpdateProfile { fields, then: _ } => {
            met.note(&format!("update_profile: {} fields", fields.len()), true);
            (1..=limits::UPDATE_FIELDS_MAX).for_each(|n| met.expect(&format!("update_profile: {n} fields")));
        }
        NodeForm::Jump { journey: _, with: _, then: _ } | NodeForm::Message { message: _, then: _ } => {}
        NodeForm::Optimize { method: OptimizeMethod::Experiment { treatments, holdout } } => {
            met.note(&format!("experiment: {} treatments", treatments.len()), true);
            let (least, most) = limits::TREATMENTS_RANGE;
            (least..=most).for_each(|n| met.expect(&format!("experiment: {n} treatments")));
            met.note("experiment: holdout", holdout.is_some());
        }
        NodeForm::Optimize { method: OptimizeMethod::Targeting { rules: _, fallback } } => {
            met.note("targeting: fallback", fallback.is_some());
            met.note("targeting: no fallback", fallback.is_none());
        }
        NodeForm::ProfileCap { max: _, then: _, otherwise: _ } => {}
        NodeForm::Action { action, with: _, then: _ } => {
            met.note("node: data", action.value.starts_with(crate::domain::expression::SOURCE_PREFIX));
        }
        NodeForm::Lookup { dataset: _, keys: _, fields, then: _ } => {
            met.note("lookup: three fields or more", fields.len() > 2);
        }
        NodeForm::End => {}
        NodeForm::Fragment { .. } | NodeForm::Broken => unreachable!("{does:?} is not left of what was read"),
    }
}

fn an_awaited(met: &mut Met, awaited: &AwaitedDefinition) {
    let AwaitedDefinition { filter, since: from, of } = awaited;
    let is_filtered = a_filter(met, filter);
    since(met, from);
    for kind in FEEDBACK_TYPES {
        met.note(&format!("awaited: {kind}"), filter.event.value == kind);
    }
    met.note("awaited: feedback, when", of.is_some() && is_filtered);
}

/// A node of a fragment, which neither jumps nor takes over another.
fn in_fragment(met: &mut Met, does: &NodeForm) {
    met.note(&format!("in a fragment: {}", form_word(does)), true);
    for word in FORMS_OF_FRAGMENTS {
        met.expect(&format!("in a fragment: {word}"));
    }
}

const FORMS_OF_FRAGMENTS: [&str; 13] = [
    "wait",
    "condition",
    "split",
    "event",
    "first_of",
    "message",
    "update_profile",
    "experiment",
    "targeting",
    "profile_cap",
    "action",
    "lookup",
    "end",
];

fn form_word(does: &NodeForm) -> &'static str {
    match does {
        NodeForm::Wait { .. } => "wait",
        NodeForm::Condition { .. } => "condition",
        NodeForm::Split { .. } => "split",
        NodeForm::Event { .. } => "event",
        NodeForm::FirstOf { .. } => "first_of",
        NodeForm::Message { .. } => "message",
        NodeForm::UpdateProfile { .. } => "update_profile",
        NodeForm::Jump { .. } => "jump",
        NodeForm::Optimize { method: OptimizeMethod::Experiment { .. } } => "experiment",
        NodeForm::Optimize { method: OptimizeMethod::Targeting { .. } } => "targeting",
        NodeForm::ProfileCap { .. } => "profile_cap",
        NodeForm::Action { .. } => "action",
        NodeForm::Lookup { .. } => "lookup",
        NodeForm::End => "end",
        NodeForm::Fragment { .. } | NodeForm::Broken => unreachable!("{does:?} is not left of what was read"),
    }
}
