//! "Did you mean": the known word nearest to an unknown one.

/// Longest word compared; longer ones are not typing errors of a name.
const WORD_CHARS_MAX: usize = 64;

/// The word of `known` that `word` is most likely a slip of; the first of equals.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(WORD_CHARS_MAX + 1).flat_map(char::to_lowercase).collect();
    if word.is_empty() || word.len() > WORD_CHARS_MAX {
        return None;
    }
    // A third of the letters may be wrong, one in short words: more is another word.
    let distance_max = (word.len() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in known {
        let letters: Vec<char> = candidate.chars().take(WORD_CHARS_MAX + 1).flat_map(char::to_lowercase).collect();
        if letters.len() > WORD_CHARS_MAX || letters.len().abs_diff(word.len()) > distance_max {
            continue;
        }
        let distance = distance(&word, &letters);
        if distance <= distance_max && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// `did you mean …`, if some known word is near.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|found| format!("did you mean `{found}`?"))
}

/// Optimal string alignment: insert, delete, replace, swap neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, &y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_nothing_else() {
        let known = ["purchase", "cart_add", "then", "timeout"];
        assert_eq!(nearest("purchse", known), Some("purchase"));
        assert_eq!(nearest("Purchase", known), Some("purchase"));
        assert_eq!(nearest("tehn", known), Some("then"));
        assert_eq!(nearest("cart-add", known), Some("cart_add"));
        assert_eq!(nearest("browse", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"x".repeat(10_000), known), None);
    }
}
