//! What was expected and did not happen.

use smol_str::SmolStr;

use crate::domain::catalog::Catalog;
use crate::domain::ids::ProfileKey;
use crate::domain::journey::findings::{At, Place};
use crate::domain::journey::trial::{End, Expectation, MessageExpectation, Trial, word};
use crate::domain::value::{Map, Value};
use crate::trial::calls;
use crate::trial::machine::key_of;
use crate::trial::record::{Account, Call, Letter, Run};
use crate::trial::tell::{happened, letter, side_by_side, since_start, texts};

/// An expectation that was not met.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// Where it stands.
    pub place: Place,
    /// What is wrong, in one line.
    pub message: String,
    /// More: both sides, or nothing.
    pub detail: String,
    /// What happened to whom it is about; the same for neighbours.
    pub timeline: String,
}

/// Judges one test.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    /// What was expected.
    pub trial: &'a Trial,
    /// What was published.
    pub catalog: &'a Catalog,
    /// What happened.
    pub account: &'a Account,
}

/// One expectation: of whom, and where findings go.
struct Hearing<'a> {
    judge: Judge<'a>,
    expected: &'a Expectation,
    profile: &'a SmolStr,
    key: ProfileKey,
    found: Vec<Mismatch>,
}

impl<'a> Judge<'a> {
    /// Everything that is not as expected; `refused` are events that were not taken, which no test expects.
    pub fn judge(self, refused: Vec<(Place, String)>) -> Vec<Mismatch> {
        let plain = |(place, message)| Mismatch { place, message, detail: String::new(), timeline: String::new() };
        let mut found: Vec<Mismatch> = refused.into_iter().map(plain).collect();
        found.extend(self.unreadable_letters().map(plain));
        for expected in &self.trial.expectations {
            let Some(profile) = expected.profile.as_ref().map(|profile| &profile.value) else { continue };
            let mut hearing = Hearing { judge: self, expected, profile, key: key_of(profile), found: Vec::new() };
            hearing.hear();
            if !hearing.found.is_empty() {
                let journey = expected.journey.as_ref().map(|journey| &journey.value);
                let timeline = happened(self.trial, self.account, hearing.key, journey, self.catalog);
                for mismatch in &mut hearing.found {
                    mismatch.timeline = format!("what happened to {profile}:\n{timeline}");
                }
            }
            found.append(&mut hearing.found);
        }
        found
    }

    /// Messages whose templates failed: production would count them as failed.
    fn unreadable_letters(self) -> impl Iterator<Item = (Place, String)> {
        self.account.letters.iter().filter_map(move |letter| {
            let error = letter.content.as_ref().err()?;
            let text = format!("message `{}` can't be rendered: {error}", letter.message);
            Some((self.trial.name.place, text))
        })
    }
}

impl<'a> Hearing<'a> {
    fn hear(&mut self) {
        let runs = match &self.expected.journey {
            Some(journey) => self.judge.account.runs(self.key, &journey.value, self.judge.catalog),
            None => Vec::new(),
        };
        let ordinal = self.expected.entry.as_ref().map(|entry| {
            // An entry that did not happen has no ordinal, and so no messages.
            runs.get(entry.value as usize - 1).map_or(0, |run| run.ordinal)
        });
        self.entries(&runs);
        self.discards();
        self.run(&runs);
        self.messages(ordinal);
        self.calls(ordinal);
        self.excluded(ordinal);
        self.document();
    }

    fn note(&mut self, place: Place, message: String, detail: String) {
        self.found.push(Mismatch { place, message, detail, timeline: String::new() });
    }

    fn entries(&mut self, runs: &[Run]) {
        if let Some(entries) = &self.expected.entries
            && entries.value as usize != runs.len()
        {
            let (actual, expected) = (times(runs.len()), times(entries.value as usize));
            let message = format!("{} entered {actual}, not {expected}", self.profile);
            self.note(entries.place, message, String::new());
        }
    }

    fn discards(&mut self) {
        let (Some(expected), Some(journey)) = (&self.expected.discarded, &self.expected.journey) else { return };
        let actual = self.judge.account.discards(self.key, &journey.value, self.judge.catalog);
        if expected.value != actual {
            let words = |reasons: &[_]| reasons.iter().map(|reason| word(*reason)).collect::<Vec<_>>();
            let message = format!("entries of {} were not refused as expected", self.profile);
            self.note(expected.place, message, side_by_side(&words(&expected.value), &words(&actual)));
        }
    }

    /// Path and end of one instance.
    fn run(&mut self, runs: &[Run]) {
        let expected = self.expected;
        let number = expected.entry.as_ref().map_or(1, |entry| entry.value);
        let run = runs.get(number as usize - 1);
        let of_whom = if number == 1 { self.profile.to_string() } else { format!("{}, entry {number},", self.profile) };
        let path: &[SmolStr] = run.map_or(&[], |run| &run.path);
        if let Some(path_expected) = &expected.path {
            let same = path_expected.value.iter().map(|node| &node.value).eq(path);
            if !same {
                let message = match run {
                    Some(_) => format!("{of_whom} took another path"),
                    None => format!("{of_whom} did not enter"),
                };
                self.note(path_expected.place, message, side_by_side(&names(&path_expected.value), &strings(path)));
            }
        }
        if let Some(includes) = &expected.path_includes {
            let mut rest = path.iter();
            if let Some(missed) = includes.value.iter().find(|node| !rest.any(|came| *came == node.value)) {
                let message = format!("{of_whom} did not come to `{}` there", missed.value);
                self.note(missed.place, message, format!("it came to {}\n", strings(path).join(", ")));
            }
        }
        let end = run.map_or(End::NotEntered, |run| run.end);
        if let Some(end_expected) = &expected.end
            && end_expected.value != end
        {
            let actual = match end {
                End::Exited(_) | End::Failed => format!("ended as {}", end.word()),
                End::Running => "is still inside".to_owned(),
                End::NotEntered => "did not enter".to_owned(),
            };
            let message = format!("{of_whom} {actual}; expected is `{}`", end_expected.value.word());
            self.note(end_expected.place, message, String::new());
        }
        if let Some(at) = &expected.end_at {
            let ended_at = run.and_then(|run| run.ended_at);
            if ended_at != Some(at.value) {
                let trial = self.judge.trial;
                let actual = ended_at
                    .map_or_else(|| "did not end".to_owned(), |at| format!("ended at {}", since_start(trial, at)));
                let message = format!("{of_whom} {actual}, not at {}", since_start(trial, at.value));
                self.note(at.place, message, String::new());
            }
        }
    }

    /// The messages that the expectation is about.
    fn letters(&self, ordinal: Option<u32>) -> Vec<&'a Letter> {
        let journey = self.expected.journey.as_ref().map(|journey| &journey.value);
        let letters = self.judge.account.letters.iter();
        letters
            .filter(|letter| letter.profile == *self.profile)
            .filter(|letter| journey.is_none_or(|journey| letter.journey == *journey))
            .filter(|letter| ordinal.is_none_or(|ordinal| letter.ordinal == ordinal))
            .collect()
    }

    fn messages(&mut self, ordinal: Option<u32>) {
        let letters = self.letters(ordinal);
        let expected = self.expected;
        if let Some(exactly) = &expected.messages {
            let same_names = exactly.value.iter().map(|m| &m.message.value).eq(letters.iter().map(|l| &l.message));
            if same_names {
                for (expected, letter) in exactly.value.iter().zip(&letters) {
                    self.details(expected, letter);
                }
            } else {
                let message = format!("messages to {} are not those expected", self.profile);
                let detail = self.lists(&exactly.value, &letters);
                self.note(exactly.place, message, detail);
            }
        }
        if let Some(among) = &expected.messages_include {
            self.among(among, &letters);
        }
    }

    /// Each expected message is found behind the one before it.
    fn among(&mut self, among: &At<Vec<MessageExpectation>>, letters: &[&'a Letter]) {
        let mut from = 0;
        for expected in &among.value {
            let fits = |letter: &&Letter| {
                letter.message == expected.message.value && differences(self.judge.trial, expected, letter).is_empty()
            };
            if let Some(index) = letters[from..].iter().position(fits) {
                from += index + 1;
                continue;
            }
            match letters[from..].iter().find(|letter| letter.message == expected.message.value) {
                // The nearest there is says best what is wrong.
                Some(nearest) => self.details(expected, nearest),
                None => {
                    let message = format!("message `{}` to {} is missing", expected.message.value, self.profile);
                    let detail = self.lists(&among.value, letters);
                    self.note(expected.place, message, detail);
                }
            }
        }
    }

    fn lists(&self, expected: &[MessageExpectation], letters: &[&Letter]) -> String {
        let trial = self.judge.trial;
        // A line of what was expected can only equal one of what happened if it says as much.
        let shown = |expected: &MessageExpectation| {
            let named = letters.iter().find(|letter| {
                letter.message == expected.message.value && expected.at.as_ref().is_none_or(|at| at.value == letter.at)
            });
            named.map_or_else(|| bare(trial, expected), |found| letter(trial, found))
        };
        let expected: Vec<String> = expected.iter().map(shown).collect();
        let actual: Vec<String> = letters.iter().map(|found| letter(trial, found)).collect();
        side_by_side(&expected, &actual)
    }

    fn details(&mut self, expected: &MessageExpectation, letter: &Letter) {
        for (place, message, detail) in differences(self.judge.trial, expected, letter) {
            self.note(place, message, detail);
        }
    }

    fn calls(&mut self, ordinal: Option<u32>) {
        let (trial, expected) = (self.judge.trial, self.expected);
        let journey = expected.journey.as_ref().map(|journey| &journey.value);
        let is_meant = |call: &&Call| {
            call.profile == *self.profile
                && journey.is_none_or(|journey| call.journey == *journey)
                && ordinal.is_none_or(|ordinal| call.ordinal == ordinal)
        };
        let made: Vec<&Call> = self.judge.account.calls.iter().filter(is_meant).collect();
        let exactly = expected.calls.as_ref().map(|calls| calls::exactly(trial, self.profile, calls, &made));
        let among = expected.calls_include.as_ref().map(|calls| calls::among(trial, self.profile, calls, &made));
        for (place, message, detail) in exactly.into_iter().chain(among).flatten() {
            self.note(place, message, detail);
        }
    }

    fn excluded(&mut self, ordinal: Option<u32>) {
        let Some(expected) = &self.expected.excluded else { return };
        let journey = self.expected.journey.as_ref().map(|journey| journey.value.as_str());
        let excluded = self.judge.account.excluded(self.key, journey, self.judge.catalog);
        let actual: Vec<SmolStr> = excluded
            .into_iter()
            .filter(|(_, of)| ordinal.is_none_or(|ordinal| ordinal == *of))
            .map(|(name, _)| name)
            .collect();
        if !expected.value.iter().map(|message| &message.value).eq(&actual) {
            let message = format!("messages kept from {} are not those expected", self.profile);
            self.note(expected.place, message, side_by_side(&names(&expected.value), &strings(&actual)));
        }
    }

    fn document(&mut self) {
        let Some(tree) = &self.expected.document else { return };
        let actual = self.judge.account.document(self.key);
        let place = tree.place;
        let mut found = Vec::new();
        compare(&self.expected.fields, &actual, "", &mut found);
        for (field, expected, actual) in found {
            let message = format!("field `{field}` of {} is {actual}, not {expected}", self.profile);
            self.note(place, message, String::new());
        }
    }
}

/// Fields of `expected` that `actual` has not so. Other fields do not matter.
pub fn compare(expected: &Map, actual: &Map, path: &str, found: &mut Vec<(String, String, String)>) {
    for (name, value) in &expected.0 {
        let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        let actual = actual.get(name).unwrap_or(&Value::Null);
        match (value, actual) {
            (Value::Map(expected), Value::Map(actual)) => compare(expected, actual, &path, found),
            (Value::Int(int), Value::Float(float)) | (Value::Float(float), Value::Int(int))
                if *int as f64 == *float => {}
            (Value::Str(text), Value::Time(at)) if crate::domain::ids::Millis::parse_iso(text) == Some(*at) => {}
            (value, actual) if value == actual => {}
            (value, actual) => found.push((path, value.to_json().to_string(), actual.to_json().to_string())),
        }
    }
}

/// How a message is not as expected; names are equal.
fn differences(trial: &Trial, expected: &MessageExpectation, letter: &Letter) -> Vec<(Place, String, String)> {
    let mut found = Vec::new();
    let name = &expected.message.value;
    if let Some(at) = expected.at.as_ref().filter(|at| at.value != letter.at) {
        let (actual, expected) = (since_start(trial, letter.at), since_start(trial, at.value));
        found.push((at.place, format!("message `{name}` was sent at {actual}, not at {expected}"), String::new()));
    }
    if let Some(to) = expected.to.as_ref().filter(|to| to.value != letter.to) {
        found.push((to.place, format!("message `{name}` went to {}, not to {}", letter.to, to.value), String::new()));
    }
    if let Some(channel) = expected.channel.as_ref().filter(|channel| channel.value != letter.channel) {
        let (actual, expected) = (word(letter.channel), word(channel.value));
        found.push((channel.place, format!("message `{name}` left by {actual}, not by {expected}"), String::new()));
    }
    if let Some(node) = expected.node.as_ref().filter(|node| node.value != letter.node) {
        let text = format!("message `{name}` came from node `{}`, not from `{}`", letter.node, node.value);
        found.push((node.place, text, String::new()));
    }
    // One that can't be rendered is a mismatch of its own.
    let Ok(content) = &letter.content else { return found };
    let subject = content.subject.as_deref().unwrap_or_default();
    let parts = [
        ("subject", subject, expected.subject.as_ref(), &expected.subject_contains),
        ("body", &content.body, expected.body.as_ref(), &expected.body_contains),
    ];
    for (what, actual, whole, contains) in parts {
        if let Some(whole) = whole.filter(|whole| whole.value.trim_end() != actual.trim_end()) {
            let text = format!("the {what} of message `{name}` is another");
            found.push((whole.place, text, texts(&whole.value, actual)));
        }
        for part in contains.iter().filter(|part| !actual.contains(part.value.as_str())) {
            let text = format!("the {what} of message `{name}` does not contain {:?}", part.value);
            found.push((part.place, text, texts(&part.value, actual)));
        }
    }
    for part in expected.body_lacks.iter().filter(|part| content.body.contains(part.value.as_str())) {
        let text = format!("the body of message `{name}` contains {:?}", part.value);
        found.push((part.place, text, texts("", &content.body)));
    }
    found
}

fn bare(trial: &Trial, expected: &MessageExpectation) -> String {
    match &expected.at {
        Some(at) => format!("{} {}", since_start(trial, at.value), expected.message.value),
        None => expected.message.value.to_string(),
    }
}

fn names(names: &[At<SmolStr>]) -> Vec<String> {
    names.iter().map(|name| name.value.to_string()).collect()
}

fn strings(names: &[SmolStr]) -> Vec<String> {
    names.iter().map(SmolStr::to_string).collect()
}

/// `never`, `once`, `3 times`.
fn times(count: usize) -> String {
    match count {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}
