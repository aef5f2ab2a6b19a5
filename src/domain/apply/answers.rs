//! What calls of custom actions are answered where none may leave the machine: a dry run. What is declared comes first; else
//! a profile gets the answer that is recorded for it, near in time; else one by lot among all that are recorded. A lot is
//! drawn from names, so that the same run gives the same answers.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use crate::domain::effect::{CallAnswer, CallStatus};
use crate::domain::ids::Millis;
use crate::domain::journey::action::{ERROR_RESPONSE, STATUS};
use crate::domain::limits;
use crate::domain::value::{Map, Value};

/// Answers by name of the action.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    declared: BTreeMap<SmolStr, Vec<CallAnswer>>,
    recorded: BTreeMap<SmolStr, Recorded>,
}

/// An answer of the past.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedAnswer {
    /// Whom it was about, if that is known.
    pub profile: Option<SmolStr>,
    /// The node that had called.
    pub node: SmolStr,
    /// When it was taken in.
    pub at: Millis,
    /// How the call ended.
    pub status: CallStatus,
    /// Its declared fields as JSON had them; none where they are not recorded.
    pub fields: Option<Map>,
}

/// A call that wants an answer.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The action.
    pub action: &'a str,
    /// Whom it is about.
    pub profile: &'a str,
    /// The node that calls.
    pub node: &'a str,
    /// When.
    pub at: Millis,
    /// A lot of this very call.
    pub lot: u128,
}

/// What a call is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Drawn<'a> {
    /// What is declared.
    Declared(&'a CallAnswer),
    /// What is recorded: fields are not of their declared types yet.
    Recorded(CallStatus, &'a Map),
    /// How such calls ended, or 200: nothing is known of fields.
    Guessed(CallStatus),
}

/// All that is recorded of an action.
#[derive(Clone, Debug, Default, PartialEq)]
struct Recorded {
    answers: Vec<RecordedAnswer>,
    of_profile: BTreeMap<SmolStr, Vec<usize>>,
    /// Those whose fields are recorded, by code of their status.
    known: BTreeMap<u16, Vec<usize>>,
    /// Every field that any of these has, by code of their status.
    seen: BTreeMap<u16, Map>,
}

impl Answers {
    /// Declares an answer of an action: of several each is as likely as the others.
    pub fn declare(&mut self, action: &str, answer: CallAnswer) {
        self.declared.entry(SmolStr::new(action)).or_default().push(answer);
    }

    /// Takes in an answer of the past.
    pub fn record(&mut self, action: &str, answer: RecordedAnswer) {
        self.recorded.entry(SmolStr::new(action)).or_default().take(answer);
    }

    /// Whether any answer of this action is declared.
    pub fn declares(&self, action: &str) -> bool {
        self.declared.contains_key(action)
    }

    /// How many calls of the action are recorded, and of how many of these the fields.
    pub fn recorded(&self, action: &str) -> (usize, usize) {
        let known = |recorded: &Recorded| recorded.known.values().map(Vec::len).sum();
        self.recorded.get(action).map_or((0, 0), |recorded| (recorded.answers.len(), known(recorded)))
    }

    /// What a call is answered.
    pub fn draw(&self, asked: &Asked<'_>) -> Drawn<'_> {
        if let Some(declared) = self.declared.get(asked.action).filter(|declared| !declared.is_empty()) {
            return Drawn::Declared(by_lot(declared, asked.lot));
        }
        let Some(recorded) = self.recorded.get(asked.action) else { return Drawn::Guessed(CallStatus::Http(200)) };
        let answer = recorded.own(asked).unwrap_or_else(|| by_lot(&recorded.answers, asked.lot));
        if let Some(fields) = &answer.fields {
            return Drawn::Recorded(answer.status, fields);
        }
        let alike = recorded.known.get(&answer.status.code());
        let fields =
            alike.and_then(|alike| recorded.answers[*by_lot(alike, asked.lot.rotate_right(64))].fields.as_ref());
        fields.map_or(Drawn::Guessed(answer.status), |fields| Drawn::Recorded(answer.status, fields))
    }

    /// Whether something is known of what is read at `path` of an answer with this status: it is declared, some recorded
    /// answer has it, or such an answer never does.
    pub fn knows(&self, action: &str, status: CallStatus, path: &[SmolStr]) -> bool {
        if self.declares(action) {
            return true;
        }
        let within = match (path.first().map(SmolStr::as_str), status.is_error()) {
            (Some(STATUS), _) => return true,
            (Some(ERROR_RESPONSE), true) => &path[1..],
            (Some(ERROR_RESPONSE), false) | (Some(_), true) => return true,
            (None, _) | (Some(_), false) => path,
        };
        let seen = self.recorded.get(action).and_then(|recorded| recorded.seen.get(&status.code()));
        seen.is_some_and(|seen| within.is_empty() || seen.path(within).is_some())
    }
}

impl Recorded {
    fn take(&mut self, answer: RecordedAnswer) {
        let index = self.answers.len();
        if let Some(profile) = &answer.profile {
            self.of_profile.entry(profile.clone()).or_default().push(index);
        }
        if let Some(fields) = &answer.fields {
            self.known.entry(answer.status.code()).or_default().push(index);
            add_fields(self.seen.entry(answer.status.code()).or_default(), fields);
        }
        self.answers.push(answer);
    }

    /// The profile's own answer nearest to the call: at its node if there is one; the first since then, as an answer comes
    /// after its call, else the last before.
    fn own(&self, asked: &Asked<'_>) -> Option<&RecordedAnswer> {
        let apart_ms = |answer: &RecordedAnswer| answer.at.0.abs_diff(asked.at.0);
        let all = self.of_profile.get(asked.profile)?.iter().map(|index| &self.answers[*index]);
        let near = all.filter(|answer| apart_ms(answer) <= limits::OWN_ANSWER_MS_MAX.unsigned_abs());
        near.min_by_key(|answer| (answer.node != asked.node, answer.at < asked.at, apart_ms(answer)))
    }
}

/// `items` is not empty.
fn by_lot<T>(items: &[T], lot: u128) -> &T {
    &items[(lot % items.len() as u128) as usize]
}

/// Adds the fields of an answer that are not null, with those below them.
fn add_fields(seen: &mut Map, fields: &Map) {
    for (name, value) in &fields.0 {
        match (value, seen.0.iter_mut().find(|(known, _)| known == name)) {
            (Value::Null, _) => {}
            (Value::Map(below), Some((_, Value::Map(known)))) => add_fields(known, below),
            (Value::Map(below), _) => {
                let mut known = Map::new();
                add_fields(&mut known, below);
                seen.insert(name.clone(), Value::Map(known));
            }
            (_, Some(_)) => {}
            (_, None) => seen.insert(name.clone(), Value::Bool(true)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HOUR: i64 = 3_600_000;
    const OK: CallStatus = CallStatus::Http(200);

    fn map(json: &serde_json::Value) -> Map {
        let Value::Map(map) = Value::from_json(json) else { panic!("no object") };
        map
    }

    fn recorded(profile: &str, node: &str, at: i64, level: Option<&str>) -> RecordedAnswer {
        let fields = level.map(|level| map(&json!({"level": level})));
        RecordedAnswer { profile: Some(profile.into()), node: node.into(), at: Millis(at), status: OK, fields }
    }

    fn asked<'a>(profile: &'a str, node: &'a str, at: i64, lot: u128) -> Asked<'a> {
        Asked { action: "score", profile, node, at: Millis(at), lot }
    }

    fn level(drawn: Drawn<'_>) -> String {
        match drawn {
            Drawn::Recorded(OK, fields) => {
                fields.get("level").map_or("none".to_owned(), |level| level.to_json().to_string())
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn declared_answers_come_first_each_as_likely_and_without_any_it_is_200() {
        let mut answers = Answers::default();
        assert_eq!(answers.draw(&asked("crm:1", "a", 0, 7)), Drawn::Guessed(OK));
        answers.record("score", recorded("crm:1", "a", 0, Some("gold")));
        for status in [OK, CallStatus::TimedOut] {
            answers.declare("score", CallAnswer::empty(status));
        }
        let drawn = [0, 1, 2].map(|lot| answers.draw(&asked("crm:1", "a", 0, lot)));
        let declared = [OK, CallStatus::TimedOut, OK].map(CallAnswer::empty);
        assert_eq!(drawn, [0, 1, 2].map(|n: usize| Drawn::Declared(&declared[n])));
        assert!(answers.declares("score") && !answers.declares("other"));
    }

    #[test]
    fn a_profile_gets_its_own_answer_and_others_draw_among_all() {
        let mut answers = Answers::default();
        for (profile, node, at, what) in [
            ("crm:1", "a", 10 * HOUR, "gold"),
            ("crm:1", "a", 20 * HOUR, "silver"),
            ("crm:1", "b", 20 * HOUR - 1, "bronze"),
            ("crm:2", "a", 0, "iron"),
        ] {
            answers.record("score", recorded(profile, node, at, Some(what)));
        }
        let own = |node, at| level(answers.draw(&asked("crm:1", node, at, 3)));
        assert_eq!(own("a", 9 * HOUR), r#""gold""#, "the first since then");
        assert_eq!(own("a", 10 * HOUR), r#""gold""#);
        assert_eq!(own("a", 10 * HOUR + 1), r#""silver""#);
        assert_eq!(own("a", 30 * HOUR), r#""silver""#, "the last before");
        assert_eq!(own("b", HOUR), r#""bronze""#);
        assert_eq!(own("c", 20 * HOUR), r#""silver""#, "of another node");
        assert_eq!(own("a", 20 * HOUR + limits::OWN_ANSWER_MS_MAX + 1), r#""iron""#, "by lot: it is too long ago");
        let drawn = [0, 1, 2, 3].map(|lot| level(answers.draw(&asked("crm:3", "a", 0, lot))));
        assert_eq!(drawn, [r#""gold""#, r#""silver""#, r#""bronze""#, r#""iron""#]);
        assert_eq!(answers.recorded("score"), (4, 4));
    }

    #[test]
    fn fields_that_are_not_recorded_are_drawn_among_those_that_are_or_not_known() {
        let mut answers = Answers::default();
        answers.record("score", recorded("crm:1", "a", 0, None));
        let level_path = [SmolStr::new("level")];
        assert_eq!(answers.draw(&asked("crm:1", "a", 0, 0)), Drawn::Guessed(OK));
        assert!(!answers.knows("score", OK, &level_path) && answers.knows("score", OK, &[STATUS.into()]));
        assert!(!answers.knows("other", OK, &level_path));
        answers.record("score", recorded("crm:2", "a", 0, Some("gold")));
        answers.record("score", RecordedAnswer { fields: Some(Map::new()), ..recorded("crm:3", "a", 0, None) });
        let fields = [0, 1].map(|lot: u128| level(answers.draw(&asked("crm:1", "a", 0, lot << 64))));
        assert_eq!(fields, [r#""gold""#, "none"]);
        assert_eq!(level(answers.draw(&asked("crm:3", "a", 0, 0))), "none", "it is known to have had none");
        assert!(answers.knows("score", OK, &level_path) && !answers.knows("score", OK, &["points".into()]));
        // An error has no fields but its own.
        let failed = CallStatus::Http(503);
        assert!(answers.knows("score", failed, &level_path));
        assert!(!answers.knows("score", failed, &[ERROR_RESPONSE.into(), "code".into()]));
        assert_eq!(answers.recorded("score"), (3, 2));
    }
}
