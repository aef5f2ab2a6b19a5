//! What journeys refer to: attributes, surfaces, actions, datasets, limits, rules and fragments, drawn and written down.

use crate::sim::dice::Dice;
use crate::sim::workload::journeys::fragment;
use crate::sim::workload::{EVENT_KINDS, Roots, condition};

/// Types that rules recognise: name, and what they are recognised among.
pub(super) const RULED: [(&str, &str); 2] = [("big", "go"), ("gift", "buy")];

/// Rule sets that journeys may carry.
pub(super) const RULE_SETS: [&str; 2] = ["calm", "one.at-a_time"];

/// Fragments that journeys may take over.
pub(super) const FRAGMENTS: [&str; 2] = ["ping", "ask-and.tell"];

/// Rates that calls wait for, of which one is deployed, or none.
const THROTTLINGS: [(&str, u32, &str); 2] = [("calm", 200, ""), ("brisk", 5_000, "methods: [POST, PUT]\n")];

/// What never changes.
const PRELUDE: &str = r#"kind: attribute
name: tier
type: string
---
kind: attribute
name: timezone
type: string
---
kind: attribute
name: points
type: integer
---
kind: attribute
name: score
type: number
---
kind: attribute
name: consents.email
type: boolean
---
kind: attribute
name: renewal
type: timestamp
---
kind: attribute
name: email
type: string
---
kind: attribute
name: badges
type: [string]
---
kind: event
name: noise
schema: {}
"#;

/// Properties of every event that journeys name. One schema for all, so that `last` may be any of them.
const SCHEMA: &str = "{ n: integer, total: number, tag: string, flag: boolean, at: timestamp, local: string, cart: { id: string, size: integer }, items: [{ id: string }], tags: [string], sizes: [integer] }";

/// Everything but journeys and messages.
#[derive(Clone, Debug)]
pub(super) struct Supplies {
    /// What they stay for as long as a world lasts: deliveries under way are tried by them.
    surfaces: String,
    /// What rules ask for, by their place in [`RULED`].
    rules: [String; RULED.len()],
    /// Limits, by their place in [`RULE_SETS`].
    limits: [String; RULE_SETS.len()],
    /// Nodes, by their place in [`FRAGMENTS`].
    fragments: [String; FRAGMENTS.len()],
    /// Which throttling is deployed: none beyond the last.
    throttled: usize,
    /// The capping, if there is one.
    capping: String,
    /// Records of the dataset; nothing: those that there are stay.
    records: String,
    /// The action, and the data source.
    callees: String,
}

impl Supplies {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let surfaces = surfaces(dice);
        Self::draw_with(dice, surfaces)
    }

    /// Others, with the same surfaces.
    pub(super) fn redraw(&mut self, dice: &mut Dice) {
        let surfaces = std::mem::take(&mut self.surfaces);
        // Where nothing was said of records, what was said before counts on, and what calls say changes less often.
        let callees = std::mem::take(&mut self.callees);
        *self = Self::draw_with(dice, surfaces);
        if dice.chance(50) {
            self.callees = callees;
        }
    }

    fn draw_with(dice: &mut Dice, surfaces: String) -> Self {
        Self {
            surfaces,
            rules: RULED.map(|_| condition(dice, Roots::Entry, 1)),
            limits: RULE_SETS.map(|_| rule_set(dice)),
            fragments: fragments(dice),
            throttled: dice.index(THROTTLINGS.len() + 1),
            capping: capping(dice),
            records: if dice.chance(15) { String::new() } else { format!("records: [ {} ]\n", records(dice)) },
            callees: callees(dice),
        }
    }

    /// What messages need.
    pub(super) fn prelude(&self) -> String {
        format!("{PRELUDE}{}{}", self.surfaces, self.callees)
    }

    pub(super) fn text(&self) -> String {
        let mut text = self.prelude();
        for kind in EVENT_KINDS {
            text.push_str(&format!("---\nkind: event\nname: {kind}\nschema: {SCHEMA}\n"));
        }
        for (name, nodes) in FRAGMENTS.iter().zip(&self.fragments) {
            text.push_str(&format!("---\nkind: fragment\nname: {name}\n{nodes}"));
        }
        for (name, limits) in RULE_SETS.iter().zip(&self.limits) {
            text.push_str(&format!("---\nkind: rule_set\nname: {name}\n{limits}\n"));
        }
        text.push_str(&format!(
            "---\nkind: dataset\nname: gems\nkey: id\nschema: {{ id: string, points: integer, price: number, rare: boolean, found: timestamp }}\n{}",
            self.records
        ));
        for (index, (name, rate, methods)) in THROTTLINGS.iter().enumerate() {
            text.push_str(&format!(
                "---\nkind: throttling\nname: {name}\nurl: \"https://api.example.com/*\"\n{methods}max_throughput: {rate}\ndeployed: {}\n",
                index == self.throttled
            ));
        }
        text.push_str(&self.capping);
        for ((name, of), when) in RULED.iter().zip(&self.rules) {
            text.push_str(&format!("---\nkind: event\nname: {name}\nof: {of}\nwhen: \"{when}\"\n"));
        }
        text
    }
}

/// Where messages leave: mostly with what is usual.
fn surfaces(dice: &mut Dice) -> String {
    let mut option = |percent: u64, texts: &[&'static str]| if dice.chance(percent) { *dice.pick(texts) } else { "" };
    let secret = option(20, &[", secret_env: HOOKS_SECRET", ", secret: \"c2VjcmV0\""]);
    let smtp = option(
        20,
        &[
            ", tls: starttls",
            ", tls: implicit",
            ", username: shop, password_env: SMTP_PASSWORD",
            ", username: shop, password: open",
        ],
    );
    let hooks = option(15, &["in_doubt: hold\n", "in_doubt: prefer-loss\n", "timeout: 3s\n", "retry_for: 2h\n"]);
    let mails = option(15, &["in_doubt: prefer-loss\n", "in_doubt: prefer-duplicate\n", "timeout: 30s\n"]);
    format!(
        "---\nkind: surface\nname: hooks\nchannel: webhook\nwebhook: {{ url: \"http://127.0.0.1:9/hooks\", allow_private: true{secret} }}\n{hooks}---\nkind: surface\nname: mails\nchannel: email\nsmtp: {{ host: 127.0.0.1, port: 25, from: \"shop@example.com\"{smtp} }}\n{mails}"
    )
}

/// The action and the data source: mostly with what is usual.
fn callees(dice: &mut Dice) -> String {
    const HEARD: &str = "response: { level: string, points: integer }\nerror_response: { code: string }\n";
    let method = *dice.pick(&["", "", "", "POST", "PUT", "GET"]);
    let body = match dice.below(6) {
        _ if method == "GET" => "",
        0 => "body: [ with.n, [ \"'cart'\" ], null ]\n",
        1 => "body: \"with.n * 2\"\n",
        2 => "",
        _ => "body: { n: with.n, more: with.tag, at: now }\n",
    };
    let asks = *dice.pick(&["", "", "GET", "POST"]);
    let asked = if asks == "POST" { *dice.pick(&["", "body: { tag: with.tag }\n"]) } else { "" };
    let written = |key: &str, word: &str| if word.is_empty() { String::new() } else { format!("{key}: {word}\n") };
    let (method, asks) = (written("method", method), written("method", asks));
    let path = written("path", dice.pick::<&str>(&["", "", "\"/of/{tag}\"", "\"/{n}/a{{b}}\""]));
    let headers = written("headers", dice.pick::<&str>(&["", "", "{ X-Shop: \"s-{tag}\", Accept-Language: fr }"]));
    let query = written("query", dice.pick::<&str>(&["{ tag: \"{tag}\" }", "{ tag: \"{tag}\" }", ""]));
    let cache = written("cache", dice.pick::<&str>(&["1m", "1m", ""]));
    let rating = written("rating", dice.pick::<&str>(&["", "", "{ max_calls: 3, per: 1s }"]));
    let private = written("allow_private", dice.pick::<&str>(&["", "", "true"]));
    let (auth, shown) = (written("auth", auth(dice)), written("auth", auth(dice)));
    format!(
        "---\nkind: action\nname: ask\nurl: \"https://api.example.com/ask\"\n{method}{auth}{private}parameters: {{ n: integer, tag: string }}\n{path}{query}{headers}{body}{HEARD}---\nkind: data_source\nname: sky\nurl: \"https://sky.example.com/now\"\n{asks}{shown}parameters: {{ n: integer, tag: string }}\nquery: {{ tag: \"{{tag}}\", n: \"{{n}}\" }}\n{asked}{HEARD}{cache}{rating}"
    )
}

/// How a call shows who it comes from: mostly not at all.
fn auth(dice: &mut Dice) -> &'static str {
    if dice.chance(50) {
        return "";
    }
    dice.pick::<&str>(&[
        "{ type: none }",
        "{ type: basic, username: shop, password_env: PASSWORD }",
        "{ type: basic, username: shop, password: open }",
        "{ type: api_key, key_env: KEY }",
        "{ type: api_key, key_env: KEY, query: key }",
        "{ type: token, url: \"https://id.example.com/token\", form: { grant_type: client_credentials }, form_env: { client_secret: SECRET } }",
        "{ type: token, url: \"https://id.example.com/token\", json_env: { secret: SECRET }, headers: { X-Shop: a }, token_in: a.token, header: X-Token, cache: 10m }",
        "{ type: certificate, url: \"https://id.example.com/token\", issuer: shop, key_env: KEY }",
        "{ type: certificate, url: \"https://id.example.com/token\", issuer: shop, key_env: KEY, algorithm: ES256, audience: id, key_id: k1, thumbprint: t, form: { scope: all } }",
        "{ type: token, url: \"https://id.example.com/token\", method: GET, token_in: response, query: token }",
    ])
}

/// A limit of calls, now and then.
fn capping(dice: &mut Dice) -> String {
    if dice.chance(60) {
        return String::new();
    }
    let methods = *dice.pick(&["", "methods: [POST]\n"]);
    let (calls, per) = (dice.between(1, 50), *dice.pick(&["1s", "1m", "1h"]));
    format!(
        "---\nkind: capping\nname: few\nurl: \"https://api.example.com/*\"\n{methods}rating: {{ max_calls: {calls}, per: {per} }}\n"
    )
}

/// Nodes of the fragments: a pause and a message, and a question that may fail; or any.
fn fragments(dice: &mut Dice) -> [String; FRAGMENTS.len()] {
    let usual = fragment::usual(dice);
    usual.map(|usual| if dice.chance(50) { usual } else { fragment::draw(dice) })
}

/// Records of the dataset, by some of the ids that events have.
fn records(dice: &mut Dice) -> String {
    let ids: Vec<&str> = ["a", "b", "k1", "k2", "gold"].into_iter().filter(|_| dice.chance(60)).collect();
    let mut record = |id: &str| {
        let mut fields = format!("id: {id}, points: {}", dice.below(7));
        for (name, value) in [
            ("price", format!("{:.1}", dice.between(0, 40) as f64 / 2.0)),
            ("rare", dice.chance(50).to_string()),
            ("found", format!("2026-0{}-01T12:00:00Z", dice.between(1, 9))),
        ] {
            if dice.chance(60) {
                fields.push_str(&format!(", {name}: {value}"));
            }
        }
        format!("{{ {fields} }}")
    };
    ids.into_iter().map(&mut record).collect::<Vec<_>>().join(", ")
}

/// What a rule set limits.
fn rule_set(dice: &mut Dice) -> String {
    let entries =
        format!("entries: {{ max: {}, per: {} }}", dice.between(1, 4), dice.pick(&["hour", "day", "week", "month"]));
    let concurrent = format!("concurrent: {}", dice.between(1, 3));
    match dice.below(3) {
        0 => entries,
        1 => concurrent,
        _ => format!("{entries}\n{concurrent}"),
    }
}
