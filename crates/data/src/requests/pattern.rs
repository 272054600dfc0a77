//! A sentence with places for entries of lists.

use drdiff_noise::NoiseStream;

/// Words to draw from.
pub(super) struct List {
    /// As patterns call it.
    pub(super) name: &'static str,
    /// One or more.
    pub(super) entries: Vec<&'static str>,
}

/// The entries of a file.
pub(super) fn lines(text: &'static str) -> Vec<&'static str> {
    text.lines().filter(|line| !line.is_empty()).collect()
}

/// What stands before an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Article {
    /// What the list has.
    Own,
    /// "a" or "an", as the entry wants.
    A,
    /// "the", in place of what the list has.
    The,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Words(String),
    /// An entry of the list with this number.
    Entry(Article, usize),
}

/// A sentence with places for entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Piece>);

impl Pattern {
    /// Reads a line. A place of no known list stays as it is written.
    pub(super) fn new(line: &str, lists: &[List]) -> Self {
        let line = line.replace("\\n", "\n");
        let mut pieces = Vec::new();
        let mut rest = line.as_str();
        while let Some((words, (place, behind))) = rest
            .split_once('{')
            .and_then(|(words, rest)| Some((words, rest.split_once('}')?)))
        {
            let (article, name) = match place.split_once(' ') {
                Some(("a", name)) => (Article::A, name),
                Some(("the", name)) => (Article::The, name),
                _ => (Article::Own, place),
            };
            pieces.push(Piece::Words(words.to_owned()));
            pieces.push(match lists.iter().position(|list| list.name == name) {
                Some(list) => Piece::Entry(article, list),
                None => Piece::Words(format!("{{{place}}}")),
            });
            rest = behind;
        }
        pieces.push(Piece::Words(rest.to_owned()));
        Self(pieces)
    }

    /// The sentence with entries of `lists`, which must be those it was read with; no entry stands in it twice while its list has another.
    pub(super) fn fill(&self, lists: &[List], stream: &mut NoiseStream) -> String {
        let mut text = String::new();
        let mut used: Vec<(usize, usize)> = Vec::new();
        for piece in &self.0 {
            let (article, list) = match piece {
                Piece::Words(words) => {
                    text += words;
                    continue;
                }
                Piece::Entry(article, list) => (*article, *list),
            };
            let entries = &lists[list].entries;
            let free: Vec<usize> = (0..entries.len()).filter(|at| !used.contains(&(list, *at))).collect();
            let at = match free.len() {
                0 => stream.below(entries.len()),
                count => free[stream.below(count)],
            };
            used.push((list, at));
            text += &with_article(article, entries[at]);
        }
        text
    }

    /// The numbers of the lists it names.
    #[cfg(test)]
    pub(super) fn lists(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Entry(_, list) => Some(*list),
            Piece::Words(_) => None,
        })
    }
}

fn with_article(article: Article, entry: &str) -> String {
    match article {
        Article::Own => entry.to_owned(),
        Article::A if vowel(entry) => format!("an {entry}"),
        Article::A => format!("a {entry}"),
        Article::The => {
            let bare = ["a ", "an ", "the "].iter().find_map(|word| entry.strip_prefix(word));
            format!("the {}", bare.unwrap_or(entry))
        }
    }
}

/// Whether a word is spoken with a vowel at its beginning.
fn vowel(word: &str) -> bool {
    let begins = |with: &[&str]| with.iter().any(|with| word.starts_with(with));
    match begins(&["uni", "use", "usu", "eu", "one"]) {
        true => false,
        false => begins(&["a", "e", "i", "o", "u", "hour", "honest", "heir", "honour"]),
    }
}

#[cfg(test)]
mod tests {
    use drdiff_noise::{Noise, Purpose};

    use super::*;

    #[test]
    fn places_are_filled_with_entries() {
        let lists = [
            List {
                name: "who",
                entries: vec!["an owl", "a fox"],
            },
            List {
                name: "kind",
                entries: vec!["useful"],
            },
        ];
        let mut stream = Noise::new(1, 0).stream(Purpose::Data, 0, 0);
        let mut fill = |line: &str| Pattern::new(line, &lists).fill(&lists, &mut stream);
        for _ in 0..20 {
            let both = fill("{who} and {who}");
            assert!(
                ["an owl and a fox", "a fox and an owl"].contains(&both.as_str()),
                "{both}"
            );
            assert!(["the owl!", "the fox!"].contains(&fill("{the who}!").as_str()));
        }
        assert_eq!(fill("Is it {a kind} thing?\\n"), "Is it a useful thing?\n");
        assert_eq!(fill("{whom} {"), "{whom} {", "for a test to find");
        assert_eq!(fill("{kind}, {kind}"), "useful, useful");
    }

    #[test]
    fn articles_go_by_the_sound() {
        for (word, with) in [("old", "an old"), ("historical", "a historical"), ("hour", "an hour")] {
            assert_eq!(with_article(Article::A, word), with);
        }
        assert_eq!(with_article(Article::The, "London"), "the London");
    }
}
