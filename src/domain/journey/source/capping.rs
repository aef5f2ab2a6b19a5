//! `kind: capping`: how many calls may go to some endpoints.

use smol_str::SmolStr;

use crate::domain::endpoint::{Capping, Method};
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::source::reader::{MapReader, choice, duration, full_text, items, name};

/// Bounds of the period of a rating: shorter ones say nothing that a longer one does not, longer ones take memory.
const PERIOD_RANGE_MS: (i64, i64) = (1, 3_600_000);

/// Reads a capping; `None` if any of it can't be used.
pub fn read(capping_name: &At<SmolStr>, mut map: MapReader<'_>, findings: &mut Findings<'_>) -> Option<Capping> {
    let before = findings.count();
    name(capping_name, "a capping", findings);
    let url = map.required("url", findings).and_then(|tree| full_text(tree, "`url`", findings));
    if let Some(url) = &url {
        let rest = url.value.strip_prefix("https://").or_else(|| url.value.strip_prefix("http://"));
        let host = rest.map_or("", |rest| rest.split('/').next().unwrap_or_default());
        if host.is_empty() || host.contains('*') || url.value.contains(['?', '#', ' ']) {
            let message = "`url` is no web address, or has a `*` in its host, or a query".to_owned();
            findings.error_with(url.place, "bad_address", message, "write `https://api.example.com/*`".to_owned());
        }
    }
    let methods = match map.optional("methods") {
        None => Some(Method::WORDS.map(|(_, method)| method).to_vec()),
        Some(tree) => items(tree, "`methods`", findings)
            .map(|items| items.iter().filter_map(|item| choice(item, "a method", &Method::WORDS, findings)).collect()),
    };
    let rating = map.required("rating", findings).and_then(|tree| MapReader::open(tree, "`rating`", findings));
    let (mut calls, mut period) = (None, None);
    if let Some(mut rating) = rating {
        calls = rating.required("max_calls", findings).and_then(|tree| {
            let found = tree.text().and_then(|text| text.parse::<u32>().ok()).filter(|calls| *calls > 0);
            if found.is_none() {
                findings.error_with(
                    tree.place,
                    "bad_number",
                    "`max_calls` must be a whole number from 1 on",
                    "write `max_calls: 200`".to_owned(),
                );
            }
            found
        });
        period = rating.required("per", findings).and_then(|tree| duration(tree, "`per`", PERIOD_RANGE_MS, findings));
        rating.finish(findings);
    }
    map.finish(findings);
    if findings.any_error_since(before) {
        return None;
    }
    let name = capping_name.value.clone();
    Some(Capping { name, url: url?.value.to_string(), methods: methods?, calls: calls?, period_ms: period?.value })
}
