//! What a request is known by. Everything that must not depend on the order of a file, on shards or on batch mates is
//! derived from the id's hash.

use std::fmt;

/// The hash of an id, taken apart for its uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Key of the noise, and the name of the request in the engine.
    pub noise: u64,
    /// What decides the shard.
    pub(super) shard: u64,
    /// What stands for the id where many are remembered; two ids never share it in practice.
    pub(super) identity: u128,
}

impl Key {
    /// The key of the request `id`.
    #[must_use]
    pub fn of(id: &str) -> Self {
        let [noise, shard, high, low] = words(id.as_bytes());
        Self {
            noise,
            shard,
            identity: u128::from(high) << 64 | u128::from(low),
        }
    }
}

/// Hash of what a request asks for: prompt and own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint(pub(super) u64);

impl Fingerprint {
    pub(super) fn of(content: &[u8]) -> Self {
        Self(words(content)[0])
    }

    /// Reads what `Display` writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = (text.len() == 16).then_some(text)?;
        u64::from_str_radix(digits, 16).ok().map(Self)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The four words of a hash.
fn words(content: &[u8]) -> [u64; 4] {
    let hash = blake3::hash(content);
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(hash.as_bytes().chunks_exact(8)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_depend_on_the_id_alone() {
        assert_eq!(Key::of("a"), Key::of("a"));
        let (a, b) = (Key::of("a"), Key::of("b"));
        assert!(a.noise != b.noise && a.shard != b.shard && a.identity != b.identity);
        // Texts of earlier releases stay reproducible as long as this does.
        assert_eq!(Key::of("request-1").noise, 9_391_232_870_801_243_542);
    }

    #[test]
    fn fingerprints_are_read_back() {
        let fingerprint = Fingerprint::of(b"x");
        assert_eq!(Fingerprint::parse(&fingerprint.to_string()), Some(fingerprint));
        assert_eq!(Fingerprint::parse("12"), None);
    }
}
