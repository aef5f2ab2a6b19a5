//! What only the text tells: options that mean the same as others, or that stand for a usual value; and the parts of
//! expressions that are no functions.

use super::Met;

/// Notes what stands in a text.
pub(super) fn written(met: &mut Met, text: &str) {
    let inside = |opening: &str| -> Vec<String> {
        let parts = text.split(opening).skip(1);
        parts.map(|rest| rest.split('}').next().unwrap_or_default().to_owned()).collect()
    };
    let times = inside("time: { ");
    for key in ["days", "from", "to"] {
        met.note(&format!("time: no {key}"), times.iter().any(|time| !time.contains(&format!("{key}:"))));
    }
    met.note("date: an offset", inside("date: { ").iter().any(|date| date.contains("+02:00")));
    met.note("holdout: no percent", inside("holdout: { ").iter().any(|holdout| !holdout.contains("percent")));
    let treatments = inside("{ treatment: ");
    met.note("treatment: no weight", treatments.iter().any(|treatment| !treatment.contains("weight")));
    met.note("profile_cap: no number", text.contains("profile_cap: ,") || text.contains("profile_cap: null"));
    let takes_over = |line: &str| line.contains("{ fragment: ") && line.contains("on_error");
    met.note("on_error of fragment", text.lines().any(takes_over));
    for root in ["event.", "last.", "profile.", "meta.", "journey.", "action.", "source.", "lookup.", "with."] {
        met.note(&format!("reads: {root}"), text.contains(root));
    }
    met.note("a loop in a loop", text.contains(".exists(i, ") && text.contains(".exists(t, t == i.id))"));
    met.note("lists that are equal", text.contains(" == ['a'"));
    met.note("template: a filter", text.contains("|upper }}"));
    met.note("template: a tag", text.contains("{%"));
    for operator in [
        " + ", " - ", " * ", " / ", " % ", " == ", " != ", " < ", " <= ", " > ", " >= ", " && ", " || ", " ? ", " in ",
        "!(", "(-", "[0]", "['n']", "{'", " == null", "r'",
    ] {
        met.note(&format!("operator:{operator}"), text.contains(operator));
    }
}
