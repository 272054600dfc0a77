//! Decisions that hang on a document alone, and an even sample of paragraphs under a memory bound.

/// A number in [0, 1) that depends on `seed`, `purpose` and `key` only, so no decision depends on the order of files.
pub(super) fn share_of(seed: u64, purpose: &str, key: &str) -> f64 {
    const BITS: u32 = 53;
    (fingerprint(seed, purpose, key.as_bytes()) >> (64 - BITS)) as f64 / (1u64 << BITS) as f64
}

fn fingerprint(seed: u64, purpose: &str, key: &[u8]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&seed.to_le_bytes())
        .update(purpose.as_bytes())
        .update(&[0])
        .update(key);
    let mut word = [0; 8];
    hasher.finalize_xof().fill(&mut word);
    u64::from_le_bytes(word)
}

/// Keeps every paragraph while they fit the budget, then each with an equal, falling probability.
///
/// A paragraph stays while its fingerprint lies under a threshold that halves whenever the budget is exceeded: the
/// result is a uniform sample, needs no second pass and does not depend on the order of the paragraphs.
pub(super) struct ParagraphSample {
    seed: u64,
    budget: usize,
    held: usize,
    threshold: u64,
    paragraphs: Vec<(u64, Box<str>)>,
}

impl ParagraphSample {
    /// A sample of at most `budget` bytes.
    pub(super) fn new(seed: u64, budget: usize) -> Self {
        Self {
            seed,
            budget,
            held: 0,
            threshold: u64::MAX,
            paragraphs: Vec::new(),
        }
    }

    /// Offers one paragraph.
    pub(super) fn offer(&mut self, paragraph: &str) {
        let fingerprint = fingerprint(self.seed, "paragraph", paragraph.as_bytes());
        if fingerprint > self.threshold {
            return;
        }
        self.held += paragraph.len();
        self.paragraphs.push((fingerprint, paragraph.into()));
        while self.held > self.budget && self.paragraphs.len() > 1 {
            self.threshold /= 2;
            self.paragraphs
                .retain(|(fingerprint, _)| *fingerprint <= self.threshold);
            self.held = self.paragraphs.iter().map(|(_, paragraph)| paragraph.len()).sum();
        }
    }

    /// The paragraphs that were kept.
    pub(super) fn into_paragraphs(self) -> impl Iterator<Item = Box<str>> + Send {
        self.paragraphs.into_iter().map(|(_, paragraph)| paragraph)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_bounded_and_ignores_order() {
        let paragraphs: Vec<String> = (0..4000).map(|i| format!("Paragraph number {i}.\n\n")).collect();
        let keep = |order: &mut dyn Iterator<Item = &String>| {
            let mut sample = ParagraphSample::new(3, 20_000);
            order.for_each(|paragraph| sample.offer(paragraph));
            let mut kept: Vec<_> = sample.into_paragraphs().collect();
            kept.sort();
            kept
        };
        let kept = keep(&mut paragraphs.iter());
        let bytes: usize = kept.iter().map(|paragraph| paragraph.len()).sum();
        assert!((8_000..=20_000).contains(&bytes), "{bytes}");
        assert_eq!(kept, keep(&mut paragraphs.iter().rev()));
    }

    #[test]
    fn shares_are_even() {
        let low = (0..10_000)
            .filter(|i| share_of(1, "title", &i.to_string()) < 0.3)
            .count();
        assert!((2_800..3_200).contains(&low), "{low}");
        assert_ne!(share_of(1, "title", "a"), share_of(1, "split", "a"));
    }
}
