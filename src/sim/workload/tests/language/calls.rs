//! Functions that a text calls, found by their brackets.

/// The word before each bracket, with its namespace, and how many arguments stand in it.
pub(super) fn calls(text: &str) -> Vec<(String, usize)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\'' => at = behind_quote(bytes, at),
            b'(' => {
                let name = word_before(text, at);
                if !name.is_empty() {
                    found.push((name, arguments(bytes, at + 1)));
                }
                at += 1;
            }
            _ => at += 1,
        }
    }
    found
}

/// The place behind the text in quotes that begins at `at`.
fn behind_quote(bytes: &[u8], at: usize) -> usize {
    let length = bytes[at + 1..].iter().position(|byte| *byte == b'\'').expect("texts are closed");
    at + length + 2
}

fn word_before(text: &str, end: usize) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begin = |end: usize| text[..end].rfind(|c| !is_part(c)).map_or(0, |at| at + 1);
    let from = begin(end);
    let space = text[..from].strip_suffix('.').map_or("", |before| &before[begin(before.len())..]);
    match space {
        "math" | "regex" | "strings" => format!("{space}.{}", &text[from..end]),
        _ => text[from..end].to_owned(),
    }
}

/// How many arguments stand behind an opened bracket.
fn arguments(bytes: &[u8], mut at: usize) -> usize {
    let (mut depth, mut commas, mut is_empty) = (0, 0, true);
    loop {
        match bytes[at] {
            b')' if depth == 0 => return if is_empty { 0 } else { commas + 1 },
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => commas += 1,
            b'\'' => at = behind_quote(bytes, at) - 1,
            _ => {}
        }
        is_empty = false;
        at += 1;
    }
}

#[test]
fn calls_are_found() {
    let text = "when: \"math.round(a.b) > f() && l.map(i, [i, 'x)'].size()) == g('(', (1)) || (has(x.y))\"";
    let found: Vec<String> = calls(text).into_iter().map(|(name, count)| format!("{name}/{count}")).collect();
    assert_eq!(found, ["math.round/1", "f/0", "map/2", "size/0", "g/2", "has/1"]);
}
