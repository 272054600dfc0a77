//! The page of commands, from the command line that the program parses.

use clap::{Arg, Command};

use super::cell;
use crate::args;

const INTRODUCTION: &str = "# Commands\n\n\
    This page is made by `drdiff config reference commands`; a test keeps it current.\n\n\
    The flags that say how to write are listed once, under `generate`. `chat` and `batch` take them too; \
    [settings](settings.md) has their ranges and defaults.\n";

/// Heading of the flags that several commands share.
const WRITING: &str = "How to write";

/// The page in Markdown.
pub(super) fn page() -> String {
    let mut program = args::command();
    program.build();
    let mut text = INTRODUCTION.to_owned();
    sections(&program, &mut text);
    text
}

fn sections(command: &Command, text: &mut String) {
    let below = command
        .get_subcommands()
        .filter(|below| below.get_name() != "help" && !below.is_hide_set());
    for command in below {
        let name = command.get_bin_name().unwrap_or(command.get_name());
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        *text += &format!("\n## {name}\n\n{about}.\n");
        table(command, name.ends_with(" generate"), text);
        sections(command, text);
    }
}

fn table(command: &Command, with_writing: bool, text: &mut String) {
    let shown = |argument: &&Arg| {
        let heading = argument.get_help_heading();
        !matches!(argument.get_id().as_str(), "help" | "version")
            && (!argument.is_hide_set() || heading.is_some())
            && (with_writing
                || heading != Some(WRITING)
                || argument.get_id() == "infill"
                || argument.get_id() == "chat")
    };
    let arguments: Vec<&Arg> = command.get_arguments().filter(shown).collect();
    if arguments.is_empty() {
        return;
    }
    *text += "\n| argument | meaning |\n| --- | --- |\n";
    for argument in arguments {
        *text += &format!("| {} | {} |\n", form(argument), meaning(argument));
    }
}

/// How an argument is typed.
fn form(argument: &Arg) -> String {
    let value = || {
        let names = argument.get_value_names().unwrap_or_default();
        names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let mut form = match (argument.get_short(), argument.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, Some(long)) => format!("--{long}"),
        (None, None) => return format!("`{}`", cell(&value())),
    };
    if argument.get_action().takes_values() {
        form += &format!(" {}", value());
    }
    format!("`{}`", cell(&form))
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let values: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let default: Vec<String> = argument
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy().into_owned())
        .collect();
    let mut meaning = cell(&help);
    if argument.get_action().takes_values() {
        if !values.is_empty() {
            meaning += &format!(": {}", values.join(", "));
        }
        if !default.is_empty() {
            meaning += &format!(" (default {})", default.join(", "));
        }
    }
    meaning
}
