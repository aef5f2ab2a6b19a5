//! What the request of a call says, worked out from its resource's own text (`docs/journeys.md`, "Custom actions").

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::sim::observe::UNSAID;
use crate::sim::oracle::cel::parse;
use crate::sim::oracle::eval::{Scope, stored};
use crate::sim::oracle::yaml::Tree;

/// The request of a call with these parameters, decided at `now_ms`, as [`ObservedMessage`](crate::sim::observe::ObservedMessage)
/// has it.
pub(super) fn said(callee: &Tree, parameters: &Map<String, Json>, now_ms: i64) -> Json {
    request(callee, parameters, now_ms).unwrap_or_else(|_| Json::from(UNSAID))
}

fn request(callee: &Tree, parameters: &Map<String, Json>, now_ms: i64) -> Result<Json, String> {
    let path = filled(callee.word("path").unwrap_or(""), parameters, &encoded).ok_or("a path can't have a gap")?;
    if path.split('/').any(|part| part == "." || part == "..") {
        return Err("a path that leads elsewhere".to_owned());
    }
    let texts = |key: &str| -> Vec<Json> {
        let known = callee.entries(key).iter();
        let given = known.filter_map(|(name, text)| match text {
            Tree::Word(text) => Some(json!([name, filled(text, parameters, &str::to_owned)?])),
            Tree::List(_) | Tree::Map(_) => None,
        });
        given.collect()
    };
    let mut said = json!({
        "method": callee.must("method")?,
        "path": path,
        "query": texts("query"),
        "headers": texts("headers"),
    });
    if let Some(body) = callee.get("body") {
        let parameter = |(name, declared): &(String, Tree)| match declared {
            Tree::Word(word) => Some((format!("with.{name}"), word.clone())),
            Tree::List(_) | Tree::Map(_) => None,
        };
        let types: BTreeMap<String, String> = callee.entries("parameters").iter().filter_map(parameter).collect();
        let none = Map::new();
        let scope = Scope {
            event: &none,
            last: &none,
            profile: &none,
            meta_id: "",
            meta_type: "",
            meta_time_ms: now_ms,
            now_ms,
            about: None,
            action: parameters,
            types: &types,
            bound: None,
        };
        said["body"] = worked_out(body, &scope)?;
    }
    Ok(said)
}

/// JSON whose leaves are expressions.
fn worked_out(body: &Tree, scope: &Scope<'_>) -> Result<Json, String> {
    Ok(match body {
        Tree::Word(word) => stored(&parse(word)?, scope)?,
        Tree::List(items) => items.iter().map(|item| worked_out(item, scope)).collect::<Result<_, _>>()?,
        Tree::Map(entries) => {
            let entries = entries.iter().map(|(name, value)| Ok((name.clone(), worked_out(value, scope)?)));
            Json::Object(entries.collect::<Result<_, String>>()?)
        }
    })
}

/// A text with its parameters; none where one of them is null.
fn filled(text: &str, parameters: &Map<String, Json>, written: &dyn Fn(&str) -> String) -> Option<String> {
    // Doubled braces stand for themselves.
    let plain = |text: &str| text.replace('\u{1}', "{").replace('\u{2}', "}");
    let mut rest = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let mut filled = String::new();
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, behind) = behind.split_once('}')?;
        filled.push_str(&plain(before));
        match parameters.get(name) {
            None | Some(Json::Null) => return None,
            Some(Json::String(value)) => filled.push_str(&written(value)),
            Some(value) => filled.push_str(&written(&value.to_string())),
        }
        rest = behind.to_owned();
    }
    filled.push_str(&plain(&rest));
    Some(filled)
}

/// What RFC 3986 §2.3 does not leave as it is stands as its bytes.
fn encoded(text: &str) -> String {
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let byte = |byte: u8| if is_kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::oracle::yaml::documents;

    #[test]
    fn what_has_a_gap_is_left_out_and_paths_are_encoded() {
        let text = "method: PUT\nparameters: { n: integer, tag: string }\npath: \"/of/{tag}/{{n}}\"\n\
            query: { tag: \"{tag}\", n: \"{n}\" }\nheaders: { X-Shop: \"s-{tag}\" }\n\
            body: { n: with.n, list: [ \"'a' + with.tag\", null ], at: now }\n";
        let callee = &documents(text).expect("it is YAML")[0];
        let given = |parameters: Json| said(callee, parameters.as_object().expect("an object"), 0);
        let wanted = json!({
            "method": "PUT",
            "path": "/of/Ann%2F%C3%9C/{n}",
            "query": [["tag", "Ann/Ü"]],
            "headers": [["X-Shop", "s-Ann/Ü"]],
            "body": { "n": null, "list": ["aAnn/Ü", null], "at": "1970-01-01T00:00:00.000Z" },
        });
        assert_eq!(given(json!({ "tag": "Ann/Ü", "n": null })), wanted);
        assert_eq!(given(json!({ "tag": "x", "n": 3 }))["query"], json!([["tag", "x"], ["n", "3"]]));
        for unsaid in [json!({ "n": 3 }), json!({ "tag": null }), json!({ "tag": ".." })] {
            // `..` is a part of this path of its own.
            assert_eq!(given(unsaid), UNSAID);
        }
    }
}
