//! What is noted with the step of a call: why it failed, and the declared fields of its answer, as one text.
//!
//! ```text
//! note   = reason | reason "\n" fields
//! reason = text, perhaps empty          fields = a JSON object in one line
//! ```
//! Notes of before have a reason only, those of tests of before their fields without a line break.

use crate::domain::effect::CallAnswer;
use crate::domain::limits;
use crate::domain::value::{Map, Value};

/// What is noted of an answer of which fields are declared; nothing if there is nothing to say. An answer that is too long is noted without its fields:
/// a part of them would pass for the whole.
pub fn of_answer(answer: &CallAnswer) -> Option<String> {
    let reason = answer.reason.as_deref().unwrap_or_default();
    let has_fields = !answer.status.is_error() || !answer.fields.is_empty();
    let fields = has_fields.then(|| Value::Map(answer.fields.clone()).to_json().to_string());
    match fields.filter(|fields| fields.len() <= limits::ANSWER_NOTE_BYTES_MAX) {
        Some(fields) => Some(format!("{reason}\n{fields}")),
        None => answer.reason.clone(),
    }
}

/// A note as reason and fields.
pub fn parts(note: &str) -> (Option<&str>, Option<serde_json::Value>) {
    let (reason, fields) = match note.rsplit_once('\n') {
        Some((reason, fields)) => (reason, serde_json::from_str(fields).ok().filter(serde_json::Value::is_object)),
        None => (note, None),
    };
    let reason = if fields.is_some() { reason } else { note };
    (Some(reason).filter(|reason| !reason.is_empty()), fields)
}

/// A note in one line, for people.
pub fn shown(note: &str) -> String {
    match parts(note) {
        (Some(reason), Some(fields)) => format!("{reason}: {fields}"),
        (None, Some(fields)) => fields.to_string(),
        (reason, None) => reason.unwrap_or_default().to_owned(),
    }
}

/// Fields of a note, as they came.
pub fn fields_of(json: &serde_json::Value) -> Option<Map> {
    match Value::from_json(json) {
        Value::Map(map) => Some(map),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::effect::CallStatus;

    fn answer(status: u16, fields: &serde_json::Value, reason: Option<&str>) -> CallAnswer {
        let fields = fields_of(fields).expect("an object");
        CallAnswer { status: CallStatus::Http(status), fields, reason: reason.map(str::to_owned) }
    }

    #[test]
    fn an_answer_is_noted_with_its_fields_and_reads_back() {
        let noted = of_answer(&answer(200, &json!({"level": "a\nb"}), None)).expect("is noted");
        assert_eq!(parts(&noted), (None, Some(json!({"level": "a\nb"}))));
        assert_eq!(shown(&noted), r#"{"level":"a\nb"}"#);
        let noted =
            of_answer(&answer(404, &json!({"code": "E1"}), Some("the server\nanswered 404"))).expect("is noted");
        assert_eq!(parts(&noted), (Some("the server\nanswered 404"), Some(json!({"code": "E1"}))));
        assert_eq!(shown(&noted), "the server\nanswered 404: {\"code\":\"E1\"}");
    }

    #[test]
    fn a_good_answer_without_fields_is_known_to_have_none_and_a_failure_has_a_reason_only() {
        assert_eq!(of_answer(&answer(200, &json!({}), None)).as_deref(), Some("\n{}"));
        assert_eq!(of_answer(&answer(503, &json!({}), Some("no"))).as_deref(), Some("no"));
        assert_eq!(of_answer(&answer(503, &json!({}), None)), None);
        for before in ["no answer", "two\nlines", "{\"level\":\"gold\"}"] {
            assert_eq!((parts(before), shown(before).as_str()), ((Some(before), None), before));
        }
    }

    #[test]
    fn what_is_too_long_is_not_kept_in_part() {
        let long = |chars: usize| answer(200, &json!({"text": "x".repeat(chars)}), None);
        let empty = r#"{"text":""}"#.len();
        assert!(of_answer(&long(limits::ANSWER_NOTE_BYTES_MAX - empty)).is_some());
        assert_eq!(of_answer(&long(limits::ANSWER_NOTE_BYTES_MAX - empty + 1)), None);
    }
}
