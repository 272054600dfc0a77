//! The page of exit codes, from the enum that the program ends with.

use crate::exit::Exit;

/// What is true of the output after each exit.
fn meaning(exit: Exit) -> (&'static str, &'static str) {
    match exit {
        Exit::Done => ("done", "The output is complete."),
        Exit::SomeFailed => (
            "done, but some records failed",
            "The other records are complete; each failed one has an error with its reason.",
        ),
        Exit::Usage => (
            "wrong usage or bad input",
            "One sentence on stderr names the cause and the remedy. No output was written or changed.",
        ),
        Exit::Runtime => (
            "failed while running",
            "Finished records and the last checkpoint are kept. No partial file stands under the name of the output.",
        ),
        Exit::Interrupted => (
            "interrupted",
            "Finished work is kept. The same command continues it; `drdiff train` needs `--resume`.",
        ),
    }
}

/// The page in Markdown.
pub(super) fn page() -> String {
    let mut text = "# Exit codes\n\n\
        This page is made by `drdiff config reference exit-codes`; a test keeps it current.\n\n\
        | code | meaning | output |\n| --- | --- | --- |\n"
        .to_owned();
    for exit in [
        Exit::Done,
        Exit::SomeFailed,
        Exit::Usage,
        Exit::Runtime,
        Exit::Interrupted,
    ] {
        let (name, output) = meaning(exit);
        text += &format!("| {} | {name} | {output} |\n", exit.code());
    }
    text
}
