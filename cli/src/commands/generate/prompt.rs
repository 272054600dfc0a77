//! Where the prompt comes from.

use std::io::{self, IsTerminal, Read};
use std::path::Path;

use anyhow::Result;

use super::GenerateArgs;
use crate::exit::usage;
use crate::output::remark;

/// The text to go on from; empty if there is none.
pub(super) fn read(args: &GenerateArgs) -> Result<String> {
    match (&args.prompt, &args.file) {
        (Some(prompt), _) => Ok(prompt.clone()),
        (None, Some(path)) if path != Path::new("-") => {
            let shown = path.display();
            let bytes = std::fs::read(path).map_err(|e| usage(format!("cannot read the prompt {shown}: {e}")))?;
            text(bytes, &shown.to_string(), "write a prompt into it, or leave -f out")
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
            let mut bytes = Vec::new();
            io::stdin()
                .lock()
                .read_to_end(&mut bytes)
                .map_err(|e| usage(format!("cannot read stdin: {e}")))?;
            text(bytes, "stdin", "give a prompt, or \"\" to write without one")
        }
    }
}

/// Text without its final line break, which editors and `echo` add and nobody means.
fn text(bytes: Vec<u8>, name: &str, remedy: &str) -> Result<String> {
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        usage(format!(
            "{name} is not UTF-8 (byte {offset}); convert it, for example with `iconv -t utf-8`"
        ))
    })?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
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
        let read = |bytes: &[u8]| text(bytes.to_vec(), "stdin", "").map_err(|e| e.to_string());
        assert_eq!(read(b"a\n\n").unwrap(), "a\n");
        assert_eq!(read(b"a\r\n").unwrap(), "a");
        assert!(read(b"\n").unwrap_err().contains("empty"));
        assert!(read(b"ab\xff").unwrap_err().contains("byte 2"));
    }
}
