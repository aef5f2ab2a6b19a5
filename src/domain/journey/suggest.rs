//! "Did you mean": the known word nearest to an unknown one, as a sentence.

use crate::domain::expression::nearest;

/// `did you mean …`, if some known word is near.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|found| format!("did you mean `{found}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_nothing_else() {
        let known = ["purchase", "cart_add", "then", "timeout"];
        assert_eq!(did_you_mean("purchse", known), Some("did you mean `purchase`?".to_owned()));
        assert_eq!(did_you_mean("tehn", known), Some("did you mean `then`?".to_owned()));
        assert_eq!(did_you_mean("browse", known), None);
        assert_eq!(did_you_mean("", known), None);
    }
}
