//! Writes on from many prompts, four side by side.

#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use drdiff::Settings;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = drdiff::load_default()?;
    let prompts = ["The lighthouse", "My dear friend,", "Bread is made of", "At midnight"];
    let texts = model.generate_all(&prompts, 4, &Settings::default().tokens(24).seed(1))?;
    for (prompt, text) in prompts.iter().zip(&texts) {
        println!("{prompt}{} [{} passes]", text.text, text.nfe);
    }
    Ok(())
}
