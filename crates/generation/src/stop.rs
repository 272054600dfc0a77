//! Stop strings: a text ends before the first of them.

use drdiff_files::line_ends;

use crate::Task;

/// Looks for stop strings in a text that grows. What may be the beginning of one is held back, so that text which
/// was given out never has to be taken away.
pub(crate) struct StopStrings {
    stops: Vec<String>,
    held: String,
}

impl StopStrings {
    pub(crate) fn new(stops: &[String], task: &Task) -> Self {
        let stops = match task {
            // Models write no other line ends.
            Task::Continue(_) => stops.iter().map(|stop| line_ends(stop).into_owned()).collect(),
            Task::Infill(_) => Vec::new(),
        };
        Self {
            stops,
            held: String::new(),
        }
    }

    /// Takes more text; gives the text that is certain now, and whether it ends here.
    pub(crate) fn push(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop)).min() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let begins = |at: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.held[*at..]));
        let starts = self.held.char_indices().map(|(at, _)| at);
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let at = starts
            .filter(|at| at + longest > self.held.len())
            .find(begins)
            .unwrap_or(self.held.len());
        let rest = self.held.split_off(at);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// The text that was held back and turned out to be no stop string.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool, String) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut scanner = StopStrings::new(&stops, &Task::Continue(Vec::new().into()));
        let mut given = Vec::new();
        for piece in pieces {
            let (text, stopped) = scanner.push(piece);
            given.push(text);
            if stopped {
                return (given, true, scanner.finish());
            }
        }
        (given, false, scanner.finish())
    }

    #[test]
    fn a_stop_string_may_spread_over_pieces() {
        let (given, stopped, rest) = read(&["\n\n", "END"], &["a\n", "b\n", "\nc"]);
        assert_eq!((given.concat().as_str(), stopped, rest.as_str()), ("a\nb", true, ""));
        assert_eq!(given[0], "a");
    }

    #[test]
    fn line_ends_of_windows_stop_at_those_of_the_text() {
        assert_eq!(read(&["\r\n\r\n"], &["a\n", "\nb"]).0.concat(), "a");
    }

    #[test]
    fn the_first_in_the_text_counts() {
        assert_eq!(read(&["later", "é"], &["caféلlater"]).0, ["caf"]);
    }

    #[test]
    fn what_only_began_like_one_is_given_back() {
        let (given, stopped, rest) = read(&["END"], &["xE", "N", "d EN"]);
        assert_eq!(
            (given, stopped, rest.as_str()),
            (vec!["x".into(), String::new(), "ENd ".into()], false, "EN")
        );
    }

    #[test]
    fn without_stop_strings_nothing_is_held() {
        assert_eq!(
            read(&[], &["a", "b"]),
            (vec!["a".into(), "b".into()], false, String::new())
        );
    }
}
