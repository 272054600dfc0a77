//! Where the prompt comes from.

use std::io::{self, IsTerminal};
use std::path::Path;

use anyhow::Result;
use drdiff_files::{Error, text};

use super::GenerateArgs;
use crate::exit::usage;
use crate::output::remark;

/// The text to go on from; empty if there is none.
pub(super) fn read(args: &GenerateArgs) -> Result<String> {
    match (&args.prompt, &args.file) {
        (Some(prompt), _) => Ok(prompt.clone()),
        (None, Some(path)) if path != Path::new("-") => {
            let shown = path.display();
            let text = text::read(path).map_err(|error| match error {
                Error::File { source, .. } => usage(format!("cannot read the prompt {shown}: {source}")),
                error => error.into(),
            })?;
            given(text, &shown.to_string(), "write a prompt into it, or leave -f out")
        }
        (None, None) if io::stdin().is_terminal() => {
            if args.infill {
                return Err(usage("there is no text to fill; give one with gaps such as [[8]]"));
            }
            remark(
                args.quiet,
                "writing without a prompt; give one as an argument, with -f or on stdin",
            );
            Ok(String::new())
        }
        _ => {
            let stdin = Path::new("-");
            let text = text::stream(io::stdin(), stdin).and_then(|reader| text::whole(reader, stdin));
            let text = text.map_err(|error| match error {
                Error::File { source, .. } => usage(format!("cannot read stdin: {source}")),
                error => error.into(),
            })?;
            given(text, "stdin", "give a prompt, or \"\" to write without one")
        }
    }
}

/// Text without its final line break, which editors and `echo` add and nobody means.
fn given(mut text: String, name: &str, remedy: &str) -> Result<String> {
    let ends = ["\r\n", "\n", "\r"];
    if let Some(end) = ends.iter().find(|end| text.ends_with(**end)) {
        text.truncate(text.len() - end.len());
    }
    if text.is_empty() {
        return Err(usage(format!("{name} is empty; {remedy}")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_final_line_break_is_dropped() {
        let read = |text: &str| given(text.to_owned(), "stdin", "").map_err(|e| e.to_string());
        assert_eq!(read("a\n\n").unwrap(), "a\n");
        assert_eq!(read("a\r\n").unwrap(), "a");
        assert_eq!(read("a\r").unwrap(), "a");
        assert!(read("\n").unwrap_err().contains("empty"));
    }
}
