//! The pages of `docs/reference/` that are made from the program itself; a test keeps each current.

mod commands;
mod configuration;
mod exit_codes;

use anyhow::Result;
use clap::ValueEnum;
use drdiff_generation::settings::page;

/// A page of the reference.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Page {
    /// Settings of writing
    Settings,
    /// Commands and their options
    Commands,
    /// Presets and keys of configurations
    Configuration,
    /// Exit codes
    ExitCodes,
}

impl Page {
    /// The page in Markdown.
    ///
    /// # Errors
    /// A preset that does not resolve.
    pub(crate) fn text(self) -> Result<String> {
        Ok(match self {
            Self::Settings => page(),
            Self::Commands => commands::page(),
            Self::Configuration => configuration::page()?,
            Self::ExitCodes => exit_codes::page(),
        })
    }
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_are_current() {
        for (page, name, written) in [
            (
                Page::Commands,
                "commands",
                include_str!("../../../../../docs/reference/commands.md"),
            ),
            (
                Page::Configuration,
                "configuration",
                include_str!("../../../../../docs/reference/configuration.md"),
            ),
            (
                Page::ExitCodes,
                "exit-codes",
                include_str!("../../../../../docs/reference/exit-codes.md"),
            ),
        ] {
            assert!(
                page.text().unwrap() == written,
                "write it anew: drdiff config reference {name} > docs/reference/{name}.md"
            );
        }
    }
}
