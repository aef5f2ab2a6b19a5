//! What a source says and its shapes do not: found by comparing the source with what was understood, written out again.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::report::{Report, Subject};
use super::text;

/// Reads `source` as a `T`. Fields that a `T` has not are reported; what has the wrong type is the error.
pub(super) fn read<T: DeserializeOwned + Serialize>(
    source: &Value,
    subject: &Subject,
    report: &mut Report,
) -> Result<T, String> {
    let understood = T::deserialize(source).map_err(|error| error.to_string())?;
    if let Ok(again) = serde_json::to_value(&understood) {
        compare(source, &again, "", &mut |path, value| {
            let text = format!("`{path}` is not known: {}", text::json(value));
            report.lost(subject, text, "see what it meant there");
        });
    }
    Ok(understood)
}

/// Visits what `source` says beyond `understood`. Nothing, nulls and empty lists say nothing.
fn compare(source: &Value, understood: &Value, at: &str, unknown: &mut impl FnMut(&str, &Value)) {
    match (source, understood) {
        (Value::Object(source), Value::Object(understood)) => {
            for (key, value) in source {
                let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                match understood.get(key) {
                    None | Some(Value::Null) if is_nothing(value) => {}
                    None | Some(Value::Null) => unknown(&path, value),
                    Some(known) => compare(value, known, &path, unknown),
                }
            }
        }
        (Value::Array(source), Value::Array(understood)) => {
            for (index, (value, known)) in source.iter().zip(understood).enumerate() {
                compare(value, known, &format!("{at}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Reports what a part says that has no meaning in a part of its kind: every field that is not `allowed`. What a form
/// leaves behind says nothing: nulls, empty texts, zeros.
pub(super) fn beside(part: &impl Serialize, allowed: &[&str], subject: &Subject, report: &mut Report) {
    let Ok(Value::Object(fields)) = serde_json::to_value(part) else { return };
    for (field, value) in
        fields.iter().filter(|(field, value)| !allowed.contains(&field.as_str()) && !is_default(value))
    {
        let text = format!("`{field}` has no meaning there: {}", text::json(value));
        report.lost(subject, text, "see what it was meant for");
    }
}

fn is_default(value: &Value) -> bool {
    is_nothing(value) || *value == "" || *value == false || value.as_f64() == Some(0.0)
}

/// Whether a value says nothing.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, Deserialize, Serialize)]
    #[serde(default)]
    struct Part {
        name: Option<String>,
        parts: Option<Vec<Part>>,
    }

    #[test]
    fn what_no_shape_knows_is_told() {
        let source =
            json!({"name": "a", "odd": 1, "none": null, "empty": [], "parts": [{"name": "b"}, {"far": {"x": 1}}]});
        let mut report = Report::default();
        let part: Part = read(&source, &Subject::default(), &mut report).expect("it is one");
        assert_eq!(part.parts.map(|parts| parts.len()), Some(2));
        let texts: Vec<&str> = report.items.iter().map(|item| item.text.as_str()).collect();
        assert_eq!(texts, ["`odd` is not known: 1", "`parts[1].far` is not known: {\"x\":1}"]);
        assert!(read::<Part>(&json!({"name": 7}), &Subject::default(), &mut report).is_err());
    }
}
