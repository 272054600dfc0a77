//! Self-BLEU: how much texts of one writer resemble each other (Zhu et al., arXiv 1802.01886). High is monotonous.

use std::collections::HashMap;

/// Other texts that each text is compared with at most. The precision of n-grams grows with the number of
/// references, so values with different numbers of them must not be compared.
pub const REFERENCES: usize = 100;
/// Longest n-grams, as in Papineni et al. (ACL 2002).
const ORDER: usize = 4;

type Grams<'a> = HashMap<&'a [u32], usize>;

/// Mean BLEU-4 of each text against the others, of the texts that have a 4-gram: shorter ones would count as equal in what they do not
/// have. `None` with fewer than two of them.
///
/// `BLEU = min(1, exp(1 - r / c)) exp(1/4 sum_n ln p_n)` with clipped precisions `p_n`, `c` the length of the text and `r`
/// that of the reference nearest to it in length (Papineni et al., ACL 2002, section 2.3). For n above 1,
/// `p_n = (matches + 1) / (n-grams + 1)`, so that one order without a match does not make the whole 0 (Lin and Och, COLING
/// 2004; smoothing 2 of Chen and Cherry, WMT 2014).
///
/// Of more than [`REFERENCES`] others, those that follow the text in the list are taken, from the end on from its start.
#[must_use]
pub fn self_bleu(texts: &[&[u32]]) -> Option<f64> {
    let texts: Vec<&[u32]> = texts.iter().copied().filter(|text| text.len() >= ORDER).collect();
    if texts.len() < 2 {
        return None;
    }
    let references = REFERENCES.min(texts.len() - 1);
    let of_text = |place: usize| {
        let others = (1..=references).map(|step| texts[(place + step) % texts.len()]);
        bleu(texts[place], &others.collect::<Vec<_>>())
    };
    Some((0..texts.len()).map(of_text).sum::<f64>() / texts.len() as f64)
}

fn bleu(text: &[u32], references: &[&[u32]]) -> f64 {
    let logs: f64 = (1..=ORDER).map(|n| precision(text, references, n).ln()).sum();
    let length = text.len() as f64;
    // Of two that are equally near, the shorter one.
    let nearest = references
        .iter()
        .map(|reference| reference.len())
        .min_by_key(|reference| (reference.abs_diff(text.len()), *reference))
        .unwrap_or(text.len()) as f64;
    (1.0 - nearest / length).min(0.0).exp() * (logs / ORDER as f64).exp()
}

/// Clipped precision of the n-grams of a text.
fn precision(text: &[u32], references: &[&[u32]], n: usize) -> f64 {
    let own = grams(text, n);
    let mut most: Grams<'_> = HashMap::new();
    for reference in references {
        let mut counts: Grams<'_> = HashMap::new();
        // Only what the text has is counted: references are many.
        for gram in reference.windows(n).filter(|gram| own.contains_key(gram)) {
            *counts.entry(gram).or_default() += 1;
        }
        for (gram, count) in counts {
            let most = most.entry(gram).or_default();
            *most = count.max(*most);
        }
    }
    let matches: usize = own
        .iter()
        .map(|(gram, count)| *count.min(most.get(gram).unwrap_or(&0)))
        .sum();
    let all = (text.len() + 1).saturating_sub(n);
    let smoothing = usize::from(n > 1);
    (matches + smoothing) as f64 / (all + smoothing) as f64
}

fn grams(text: &[u32], n: usize) -> Grams<'_> {
    let mut counts = HashMap::new();
    text.windows(n).for_each(|gram| *counts.entry(gram).or_default() += 1);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_strangers_none() {
        let text = [1, 2, 3, 4, 5];
        assert!((self_bleu(&[&text, &text]).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(self_bleu(&[&[1, 2, 3, 4, 5], &[6, 7, 8, 9, 10]]), Some(0.0));
        assert_eq!(self_bleu(&[&text, &[]]), None);
        assert_eq!(self_bleu(&[&[1], &[1]]), None, "one word says nothing about 4-grams");
        assert!((self_bleu(&[&text, &[1], &text]).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn by_hand() {
        // 1 2 3 9 against 1 2 3 4 5: precisions 3/4, (2+1)/(3+1), (1+1)/(2+1), (0+1)/(1+1); shorter by one: exp(1 - 5/4).
        let expected = (-0.25_f64).exp() * (0.75_f64 * 0.75 * (2.0 / 3.0) * 0.5).powf(0.25);
        assert!((bleu(&[1, 2, 3, 9], &[&[1, 2, 3, 4, 5]]) - expected).abs() < 1e-12);
    }

    #[test]
    fn a_token_matches_as_often_as_one_reference_has_it() {
        // Papineni et al.: "the the the the the the the" has a clipped precision of 2/7.
        let references: [&[u32]; 2] = [&[1, 2, 3, 4, 1, 5], &[6, 3, 1, 2]];
        assert_eq!(precision(&[1; 7], &references, 1), 2.0 / 7.0);
    }
}
