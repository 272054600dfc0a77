//! What a misspelled name was meant to be.

/// The known name that `name` most likely stands for: a slip in at most every third letter, where letters that
/// changed places are one slip.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let slips = |candidate: &str| strsim::damerau_levenshtein(name, candidate);
    known
        .into_iter()
        .filter(|candidate| slips(candidate) <= (name.chars().count() / 3).max(1))
        .min_by_key(|candidate| slips(candidate))
}
