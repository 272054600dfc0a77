//! Writes a text and shows it while it comes: `cargo run --example write -- "The old house"`.

use std::io::Write;

use drdiff::{Event, Settings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let prompt = std::env::args().nth(1).unwrap_or_else(|| "The old house".to_owned());
    let model = drdiff::load_default()?;
    let mut out = std::io::stdout().lock();
    write!(out, "{prompt}")?;
    for event in model.generate(&prompt, &Settings::default().tokens(60))? {
        if let Event::BlockCommitted { text, .. } = event? {
            write!(out, "{text}")?;
            out.flush()?;
        }
    }
    writeln!(out)?;
    Ok(())
}
