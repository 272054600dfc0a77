//! Lines of a terminal: text broken at spaces, part of it dim or struck through.

use console::measure_text_width;

/// A character and what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) shown: char,
    pub(super) look: Look,
}

/// How a character looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It is text.
    Committed,
    /// Dim: it may still change.
    Open,
    /// Struck through: it was drafted and rejected.
    Rejected,
}

/// The cells of a text. Control characters, which a model may well write, must not reach a terminal.
pub(super) fn cells(text: &str, look: Look) -> impl Iterator<Item = Cell> {
    text.chars().map(move |c| {
        let shown = match c {
            '\t' => ' ',
            '\n' => '\n',
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        };
        Cell { shown, look }
    })
}

/// Breaks cells into lines of at most `columns`: at line ends, at the last space that fits, or within a long word.
/// There is always a last line, possibly empty, that more text may continue.
pub(super) fn lines(cells: &[Cell], columns: usize) -> Vec<&[Cell]> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    let (mut start, mut width, mut space) = (0, 0, None);
    let mut at = 0;
    while at < cells.len() {
        let c = cells[at].shown;
        if c == '\n' {
            lines.push(&cells[start..at]);
            (start, width, space) = (at + 1, 0, None);
        } else {
            width += measure_text_width(c.encode_utf8(&mut [0; 4]));
            if width > columns {
                let end = if c == ' ' { Some(at) } else { space };
                let (end, next) = end.map_or((at.max(start + 1), at.max(start + 1)), |space| (space, space + 1));
                lines.push(&cells[start..end]);
                (start, width, space) = (next, 0, None);
                at = next;
                continue;
            }
            if c == ' ' {
                space = Some(at);
            }
        }
        at += 1;
    }
    lines.push(&cells[start..]);
    lines
}

/// A line as a terminal shows it.
pub(super) fn styled(line: &[Cell]) -> String {
    line.chunk_by(|a, b| a.look == b.look)
        .map(|run| {
            let text: String = run.iter().map(|cell| cell.shown).collect();
            match run[0].look {
                Look::Committed => text,
                Look::Open => console::style(text).for_stderr().dim().to_string(),
                Look::Rejected => console::style(text).for_stderr().dim().strikethrough().to_string(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str, columns: usize) -> Vec<String> {
        let cells: Vec<Cell> = cells(text, Look::Committed).collect();
        lines(&cells, columns).into_iter().map(styled).collect()
    }

    #[test]
    fn lines_break_at_spaces_and_line_ends() {
        assert_eq!(wrapped("the old house", 7), ["the old", "house"]);
        assert_eq!(wrapped("the old house", 8), ["the old", "house"]);
        assert_eq!(wrapped("the old house", 13), ["the old house"]);
        assert_eq!(wrapped("a\n\nb\n", 9), ["a", "", "b", ""]);
        assert_eq!(wrapped("abcdef gh", 4), ["abcd", "ef", "gh"]);
        assert_eq!(wrapped("", 4), [""]);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(wrapped("a\u{1b}[2Jb\tc", 20), ["a\u{fffd}[2Jb c"]);
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(wrapped("日本語", 4), ["日本", "語"]);
    }
}
