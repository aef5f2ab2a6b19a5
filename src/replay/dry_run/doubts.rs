//! What a dry run could not know, in words. A figure without them would be a promise.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::apply::Answers;
use crate::domain::ids::Millis;
use crate::replay::dry_run::account::Account;
use crate::replay::dry_run::observe::Observed;
use crate::replay::dry_run::past::Gaps;
use crate::replay::dry_run::view::{NULL_ANSWERS, Unknown};

/// What is known beside the past.
#[derive(Clone, Debug)]
pub(super) struct Known<'a> {
    /// Whether events go back to the first there ever was.
    pub(super) is_whole: bool,
    /// Whether the run begins with the first of them.
    pub(super) is_from_the_start: bool,
    /// What the live version did.
    pub(super) live: Option<&'a Account>,
    /// What calls are answered.
    pub(super) answers: Arc<Answers>,
    /// Journeys of the files beside the one it is about.
    pub(super) others: Vec<String>,
}

/// Everything there is to say about a run that began at `from`, the gravest first.
pub(super) fn doubts(known: &Known<'_>, gaps: &Gaps, from: Millis, observed: &Observed, active: u64) -> Vec<Unknown> {
    let (mut found, account) = (Vec::new(), &observed.account);
    about_nulls(&observed.nulls, &mut found);
    about_time(known, from, &mut found);
    about_profiles(known, gaps, &mut found);
    if gaps.feedback > 0 {
        let text = "reactions to messages of the live version were left out: nobody reacted to the draft's, so nodes that await \
                    one end by their timeout, and who would have left by one stays";
        found.push(counted("reactions", gaps.feedback, text));
    }
    about_calls(known, account, &mut found);
    if !account.messages.is_empty() {
        let text =
            "every message counts as taken by its channel: what bounces, fails or is held back later is not known";
        found.push(plain("delivery", text.to_owned()));
    }
    if active > 0 {
        let text = "were inside when the run ended: what they would be sent later is not in the figures; a later --until lets \
                    time run on";
        found.push(counted("inside_at_the_end", active, text));
    }
    about_live(known, &mut found);
    about_others(known, &mut found);
    found
}

/// What the live version went through and the draft did not.
fn about_live(known: &Known<'_>, found: &mut Vec<Unknown>) {
    let Some(live) = known.live else { return };
    if live.paused() > 0 {
        let text = "times the live version held somebody, turned somebody away or let somebody leave because it was paused: the \
                    draft was not paused, and did all of it when it was due";
        found.push(counted("live_paused", live.paused(), text));
    }
    if live.migrated > 0 {
        let text = "runs of the live version went on in a newer one: figures count them as entered once and ended once, and \
                    leave out where the migration put them; the draft let all in itself";
        found.push(counted("live_migrated", live.migrated, text));
    }
}

fn about_time(known: &Known<'_>, from: Millis, found: &mut Vec<Unknown>) {
    if known.is_whole && known.is_from_the_start {
        return;
    }
    let text = format!(
        "who was inside at {}, who had entered before and what caps had counted is not known: the first days let in more than \
         they would{}",
        from.to_iso(),
        if known.live.is_some() { ", and figures of the live version count steps of runs begun before" } else { "" }
    );
    found.push(plain("before_the_start", text));
}

fn about_profiles(known: &Known<'_>, gaps: &Gaps, found: &mut Vec<Unknown>) {
    if gaps.unnamed > 0 {
        let text = "profiles are known by key only, since nothing is stored of whom no journey let in and no update named: they \
                    have no document, and splits draw other lots for them than they will";
        found.push(counted("unnamed_profiles", gaps.unnamed, text));
    }
    if gaps.unknown_before > 0 {
        let text = "profiles have fields that recorded events set, and what these held before is not known: until the first of \
                    these events they are absent";
        found.push(counted("earlier_values", gaps.unknown_before, text));
    }
    match (gaps.unexplained, known.is_whole) {
        (0, _) => {}
        (n, true) => {
            let text = "profiles hold fields that no event set: journeys wrote them, and here they are written only where a \
                        journey of the files does";
            found.push(counted("written_by_journeys", n, text));
        }
        (n, false) => {
            let text =
                "profiles hold fields that no recorded event set: they count as being from the start what they are now";
            found.push(counted("todays_values", n, text));
        }
    }
}

fn about_calls(known: &Known<'_>, account: &Account, found: &mut Vec<Unknown>) {
    for (action, outcomes) in &account.calls {
        let calls = outcomes.values().sum();
        let text = match (known.answers.declares(action), known.answers.recorded(action)) {
            (true, _) => {
                format!("calls of `{action}` got the answers that were declared, by lot where there are several")
            }
            (false, (0, _)) => format!(
                "calls of `{action}` were answered 200 with every field null: nothing is recorded, and --responses has none"
            ),
            (false, (recorded, 0)) => format!(
                "calls of `{action}` ended like the {recorded} recorded ones, the profile's own or by lot; no fields of \
                 answers are recorded, so every one is null: --responses declares them"
            ),
            (false, (recorded, told)) => format!(
                "calls of `{action}` were answered as the profile's own call near in time was, else by lot like one of the \
                 {recorded} recorded ones, of which {told} have the fields of their answers: --responses declares others"
            ),
        };
        found.push(counted("calls", calls, &text));
    }
}

/// Branches that were decided by what nobody knows: said first, since all figures behind them hang on it.
fn about_nulls(nulls: &BTreeMap<(String, String), u64>, found: &mut Vec<Unknown>) {
    for ((node, field), count) in nulls {
        let text = format!(
            "times `{node}` was decided by `{field}`, of which nothing is recorded: it counted as null, so do not trust what \
             comes after that node; --responses declares answers"
        );
        found.push(counted(NULL_ANSWERS, *count, &text));
    }
}

fn about_others(known: &Known<'_>, found: &mut Vec<Unknown>) {
    if !known.others.is_empty() {
        let text = format!(
            "journeys of the files ran along, since jumps, caps and priorities are shared: {}; live journeys that are not in the \
             files did not",
            known.others.join(", ")
        );
        found.push(plain("other_journeys", text));
    }
    if known.live.is_none() {
        let text = "there is no live version to compare with: this journey was never live on the server, or no server was asked";
        found.push(plain("no_live_version", text.to_owned()));
    }
}

fn counted(code: &'static str, count: u64, text: &str) -> Unknown {
    Unknown { code, count: Some(count), message: format!("{count} {text}") }
}

fn plain(code: &'static str, message: String) -> Unknown {
    Unknown { code, count: None, message }
}
