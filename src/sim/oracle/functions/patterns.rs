//! The few patterns that are drawn, each with its meaning spelled out: what it finds, and what its groups are.

/// A pattern: what of a text, from its beginning on, it takes at a place: how many characters, and its groups.
#[derive(Clone, Copy)]
pub(super) struct Pattern(fn(&[char], usize) -> Option<Taken>);

struct Taken {
    length: usize,
    groups: Vec<String>,
}

/// What a pattern found: from where, up to where, and its groups.
pub(super) struct Match {
    begin: usize,
    end: usize,
    groups: Vec<String>,
}

fn take(length: usize) -> Option<Taken> {
    (length > 0).then(|| Taken { length, groups: Vec::new() })
}

fn digits(text: &[char]) -> usize {
    text.iter().take_while(|c| c.is_ascii_digit()).count()
}

impl Pattern {
    pub(super) fn of(pattern: &str) -> Result<Self, String> {
        Ok(Self(match pattern {
            "^g" => |text, at| take(usize::from(at == 0 && text.first() == Some(&'g'))),
            "[aeiou]" => |text, at| take(usize::from("aeiou".contains(text[at]))),
            "[0-9]+" => |text, at| take(digits(&text[at..])),
            "o|l" => |text, at| take(usize::from(matches!(text[at], 'o' | 'l'))),
            "^(gold|k[0-9])$" => |text, at| {
                let is_key = text.len() == 2 && text[0] == 'k' && text[1].is_ascii_digit();
                let is_gold = text.iter().collect::<String>() == "gold";
                take(if at == 0 && (is_key || is_gold) { text.len() } else { 0 })
            },
            "(k)([0-9])" => |text, at| match text[at..] {
                ['k', digit, ..] if digit.is_ascii_digit() => {
                    Some(Taken { length: 2, groups: vec!["k".to_owned(), digit.to_string()] })
                }
                _ => None,
            },
            other => return Err(format!("pattern {other:?} is not drawn")),
        }))
    }

    /// Everything it finds, one behind the other.
    pub(super) fn matches(self, text: &[char]) -> Vec<Match> {
        let (mut found, mut at) = (Vec::new(), 0);
        while at < text.len() {
            match (self.0)(text, at) {
                Some(Taken { length, groups }) => {
                    found.push(Match { begin: at, end: at + length, groups });
                    at += length;
                }
                None => at += 1,
            }
        }
        found
    }
}

/// The texts between what the pattern finds.
pub(super) fn split_at(text: &[char], pattern: Pattern) -> Vec<String> {
    let (mut parts, mut from) = (Vec::new(), 0);
    for Match { begin, end, .. } in pattern.matches(text) {
        parts.push(text[from..begin].iter().collect());
        from = end;
    }
    parts.push(text[from..].iter().collect());
    parts
}

/// What the pattern finds, so often at most, replaced; `\1` is the first group.
pub(super) fn replaced(text: &[char], pattern: Pattern, by: &str, most: usize) -> Result<String, String> {
    let (mut made, mut from) = (String::new(), 0);
    for Match { begin, end, groups } in pattern.matches(text).into_iter().take(most) {
        made.extend(&text[from..begin]);
        let mut filled = by.to_owned();
        for (number, group) in groups.iter().enumerate() {
            filled = filled.replace(&format!("\\{}", number + 1), group);
        }
        if filled.contains('\\') {
            return Err(format!("{by:?} names a group that the pattern has not"));
        }
        made.push_str(&filled);
        from = end;
    }
    made.extend(&text[from..]);
    Ok(made)
}
