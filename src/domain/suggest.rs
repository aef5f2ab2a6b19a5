//! "Did you mean": the nearest of some names by edit distance, and the sentence that offers it. Bounded in its work,
//! whatever people write.

/// `did you mean …?`, if some known name is near.
pub fn did_you_mean<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    nearest(word, names).map(|name| format!("did you mean `{name}`?"))
}

/// The name of `names` nearest to `word`, if it is near enough to be a slip of the fingers.
pub fn nearest<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // A longer word may hold more slips; beyond a third of it the guess misleads. The words that people write come from
    // files, so their length is bounded here, not there.
    const WORD_CHARS_MAX: usize = 64;
    let length = word.chars().count();
    if length > WORD_CHARS_MAX {
        return None;
    }
    let slips_max = (length / 3).clamp(1, 3);
    names
        .into_iter()
        .filter(|name| name.chars().count().abs_diff(length) <= slips_max)
        .map(|name| (distance(word, name), name))
        .filter(|(slips, name)| *slips <= slips_max && *slips < name.chars().count())
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

/// Optimal string alignment: inserted, deleted, replaced and swapped characters, letter case aside.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let mut before = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (previous[j] + usize::from(x != y)).min(previous[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                let swapped: &Vec<usize> = &before;
                best = best.min(swapped[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{did_you_mean, nearest};

    #[test]
    fn finds_slips_and_no_more() {
        let names = ["total", "tier", "first_name", "x"];
        for (word, found) in [
            ("totl", Some("total")),
            ("toatl", Some("total")),
            ("Tier", Some("tier")),
            ("firstname", Some("first_name")),
            ("first_nmae", Some("first_name")),
            ("y", None),
            ("basket", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names), found, "{word}");
        }
    }
    #[test]
    fn offers_it_as_a_sentence() {
        let known = ["purchase", "cart_add", "then", "timeout"];
        assert_eq!(did_you_mean("purchse", known), Some("did you mean `purchase`?".to_owned()));
        assert_eq!(did_you_mean("tehn", known), Some("did you mean `then`?".to_owned()));
        assert_eq!(did_you_mean("browse", known), None);
        assert_eq!(did_you_mean("", known), None);
    }
}
