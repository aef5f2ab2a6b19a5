//! `kind: capping` and `kind: throttling`: how many calls may go to some endpoints, and what becomes of those beyond.

use smol_str::SmolStr;

use crate::domain::endpoint::{Capping, Deployment, Method, Throttling};
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::source::reader::{MapReader, choice, duration, full_text, items, name, number, truth};

/// Bounds of the period of a rating: shorter ones say nothing that a longer one does not, longer ones take memory.
const PERIOD_RANGE_MS: (i64, i64) = (1, 3_600_000);

/// Reads a capping; `None` if any of it can't be used.
pub fn read(capping_name: &At<SmolStr>, mut map: MapReader<'_>, findings: &mut Findings<'_>) -> Option<Capping> {
    let before = findings.count();
    name(capping_name, "a capping", findings);
    let target = read_target(&mut map, findings);
    let rating = map.required("rating", findings).and_then(|tree| MapReader::open(tree, "`rating`", findings));
    let mut found = None;
    if let Some(mut rating) = rating {
        found = read_rating(&mut rating, findings);
        rating.finish(findings);
    }
    map.finish(findings);
    if findings.any_error_since(before) {
        return None;
    }
    let ((url, methods), (calls, period_ms)) = (target?, found?);
    Some(Capping { name: capping_name.value.clone(), url, methods, calls, period_ms })
}

/// `max_calls` and `per`, in milliseconds.
pub(super) fn read_rating(rating: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<(u32, i64)> {
    let calls = rating.required("max_calls", findings).and_then(|tree| {
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
    let period = rating.required("per", findings).and_then(|tree| duration(tree, "`per`", PERIOD_RANGE_MS, findings));
    Some((calls?, period?.value))
}

/// Reads a throttling; `None` if any of it can't be used. How many calls are allowed is a guardrail.
pub fn read_throttling(
    throttling_name: &At<SmolStr>,
    mut map: MapReader<'_>,
    findings: &mut Findings<'_>,
) -> Option<At<Throttling>> {
    let before = findings.count();
    name(throttling_name, "a throttling", findings);
    let target = read_target(&mut map, findings);
    let throughput = map.required("max_throughput", findings);
    let place = throughput.map_or(throttling_name.place, |tree| tree.place);
    let throughput = throughput.and_then(|tree| number(tree, "`max_throughput`", (1, u32::MAX), findings));
    let deployed = map.optional("deployed").map(|tree| truth(tree, "`deployed`", findings));
    let deployment = if deployed == Some(Some(false)) { Deployment::Undeployed } else { Deployment::Deployed };
    map.finish(findings);
    if findings.any_error_since(before) {
        return None;
    }
    let ((url, methods), name) = (target?, throttling_name.value.clone());
    Some(At::new(Throttling { name, url, methods, throughput_max: throughput?, deployment }, place))
}

/// `url` and `methods`: which requests are counted.
fn read_target(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<(String, Vec<Method>)> {
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
    Some((url?.value.to_string(), methods?))
}
