//! Requests that nobody asked: messages of a user and openings of texts, for a language model that writes its own training text.
//!
//! Lists and sentence patterns are the text files of this folder, one entry a line; a pattern that stands there twice is drawn twice
//! as often. In a pattern `{thing}` is an entry of `thing.txt`, `{a adjective}` one with its article before it, `{the character}` one
//! with "the" in place of its own article, and `\n` a line end. No entry stands twice in one request.

mod pattern;

use std::sync::LazyLock;

use drdiff_noise::{Noise, NoiseStream, Purpose};

use super::error::DataError;
use pattern::{List, Pattern, lines};

/// Share of the requests that are openings, where nobody chose it.
pub const OPENINGS: f64 = 0.18;
/// Share of the messages that ask for a story; the others ask for an explanation or an essay.
const STORIES: f64 = 0.58;
/// Share of the messages that say how the text should be: its length, its readers.
const ENDINGS: f64 = 0.75;

/// What kind of text a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// A message that asks for a story.
    Story,
    /// A message that asks for an explanation or an essay.
    Essay,
    /// The first words of a text that goes on.
    Opening,
}

impl RequestKind {
    /// As it stands in ids.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Story => "story",
            Self::Essay => "essay",
            Self::Opening => "opening",
        }
    }
}

/// A request that was made up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeRequest {
    /// Its kind and index, such as `story-12`.
    pub id: String,
    /// What it asks for.
    pub kind: RequestKind,
    /// The message, or the first words.
    pub text: String,
}

/// What there is to draw from.
struct Collection {
    lists: Vec<List>,
    stories: Vec<Pattern>,
    essays: Vec<Pattern>,
    openings: Vec<Pattern>,
    story_endings: Vec<&'static str>,
    essay_endings: Vec<&'static str>,
}

static COLLECTION: LazyLock<Collection> = LazyLock::new(|| {
    macro_rules! lists {
        ($($name:literal)*) => { vec![$(List { name: $name, entries: lines(include_str!(concat!($name, ".txt"))) }),*] };
    }
    let lists = lists!("name" "character" "thing" "place" "genre" "theme" "topic" "why" "how" "task" "adjective");
    let patterns = |text| lines(text).into_iter().map(|line| Pattern::new(line, &lists)).collect();
    Collection {
        stories: patterns(include_str!("story.txt")),
        essays: patterns(include_str!("essay.txt")),
        openings: patterns(include_str!("opening.txt")),
        story_endings: lines(include_str!("story-ending.txt")),
        essay_endings: lines(include_str!("essay-ending.txt")),
        lists,
    }
});

/// The request number `index`; of those with one `seed` the share `openings` are openings, the others are messages.
///
/// `seed`, `index` and `openings` decide everything, so more requests begin with the same ones.
///
/// # Errors
/// If the share is not in [0, 1].
pub fn made_request(seed: u64, index: u64, openings: f64) -> Result<MadeRequest, DataError> {
    if !(0.0..=1.0).contains(&openings) {
        return Err(DataError::Option {
            name: "the share of openings",
            range: "between 0 and 1",
            value: openings.to_string(),
        });
    }
    // Recall has the first four.
    let mut stream = Noise::new(seed, 4).stream(Purpose::Data, index, 0);
    let kind = if stream.uniform() < openings {
        RequestKind::Opening
    } else if stream.uniform() < STORIES {
        RequestKind::Story
    } else {
        RequestKind::Essay
    };
    let all = &*COLLECTION;
    let (patterns, endings) = match kind {
        RequestKind::Story => (&all.stories, &*all.story_endings),
        RequestKind::Essay => (&all.essays, &*all.essay_endings),
        RequestKind::Opening => (&all.openings, &[] as &[&str]),
    };
    let mut text = one(&mut stream, patterns).map_or_else(String::new, |pattern| pattern.fill(&all.lists, &mut stream));
    if stream.uniform() < ENDINGS
        && let Some(ending) = one(&mut stream, endings)
    {
        text.push(' ');
        text += ending;
    }
    let id = format!("{}-{index}", kind.name());
    Ok(MadeRequest { id, kind, text })
}

/// One of these, each as likely; `None` if there is none.
fn one<'a, T>(stream: &mut NoiseStream, of: &'a [T]) -> Option<&'a T> {
    if of.is_empty() {
        return None;
    }
    of.get(stream.below(of.len()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_pattern_fills() {
        let all = &*COLLECTION;
        let mut stream = Noise::new(1, 0).stream(Purpose::Data, 0, 0);
        let mut used = HashSet::new();
        for pattern in all.stories.iter().chain(&all.essays).chain(&all.openings) {
            used.extend(pattern.lists());
            for _ in 0..50 {
                let text = pattern.fill(&all.lists, &mut stream);
                let odd = ["{", "}", "\\", "  ", " ,", " .", "the a ", "the an "];
                assert!(odd.iter().all(|odd| !text.contains(odd)), "{text}");
                assert_eq!(text.trim_start(), text);
            }
        }
        assert_eq!(used.len(), all.lists.len(), "a list that no pattern names");
        for list in &all.lists {
            let different: HashSet<_> = list.entries.iter().collect();
            assert_eq!(different.len(), list.entries.len(), "{}", list.name);
            assert!(list.entries.len() >= 10, "{}", list.name);
        }
    }

    #[test]
    fn articles_fit_their_words() {
        let texts: Vec<String> = (0..4000).map(|at| made_request(5, at, 0.0).unwrap().text).collect();
        for text in &texts {
            for wrong in [
                " a a", " a e", " a o", " a i", " an s", " an t", " an w", " an h", " an c",
            ] {
                assert!(!text.contains(wrong), "{text}");
            }
        }
        assert!(texts.iter().any(|text| text.contains("Write an exciting ")));
        assert!(texts.iter().any(|text| text.contains("Write a historical story ")));
    }

    #[test]
    fn a_request_depends_on_seed_and_index() {
        let drawn = |seed, count| -> Vec<MadeRequest> {
            let draw = |index| made_request(seed, index, OPENINGS).unwrap();
            (0..count).map(draw).collect()
        };
        let many = drawn(1, 2000);
        assert_eq!(drawn(1, 30), many[..30]);
        assert_ne!(drawn(2, 30), many[..30]);
        let share = |kind| many.iter().filter(|made| made.kind == kind).count();
        assert!((300..420).contains(&share(RequestKind::Opening)));
        assert!(share(RequestKind::Story) > share(RequestKind::Essay));
        let texts: HashSet<&str> = many.iter().map(|made| made.text.as_str()).collect();
        assert!(texts.len() > 1800, "{}", texts.len());
        assert!(
            many.iter()
                .enumerate()
                .all(|(at, made)| made.id == format!("{}-{at}", made.kind.name()))
        );
        assert!(made_request(1, 0, 1.5).is_err() && made_request(1, 0, f64::NAN).is_err());
        assert_eq!(made_request(1, 0, 1.0).unwrap().kind, RequestKind::Opening);
    }
}
