//! Where a value came from.

use std::fmt;
use std::sync::Arc;

/// What the name of a document begins with if it is a preset.
pub(crate) const PRESET: &str = "preset ";

/// The layer that decided a value, precise to the line where the layer is a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// No layer says anything: the program's own default.
    Default,
    /// A line of a preset or of a user's file.
    Line {
        /// `preset small` or the path of the file.
        document: Arc<str>,
        /// Counted from 1.
        line: usize,
        /// The line itself, for messages.
        text: Arc<str>,
    },
    /// An environment variable.
    Environment(Arc<str>),
    /// A flag of the command line, as typed.
    Flag(Arc<str>),
}

impl Origin {
    /// Whether the value is the program's own, of no file, variable or flag of a user.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Default => true,
            Self::Line { document, .. } => document.starts_with(PRESET),
            Self::Environment(_) | Self::Flag(_) => false,
        }
    }

    /// The line that a message may show below itself, with its number.
    pub(crate) fn snippet(&self) -> Option<String> {
        match self {
            Self::Line { line, text, .. } => Some(format!("{line:>5} | {}", text.trim_end())),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Line { document, line, .. } => write!(f, "{document}:{line}"),
            Self::Environment(variable) => write!(f, "${variable}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}
