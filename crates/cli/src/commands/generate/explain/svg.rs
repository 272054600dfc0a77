//! The whole text: a strip of blocks after another, steps downwards in each, a cell for each position.

use std::fmt::Write;

use super::Block;

/// The first line of the picture.
pub(super) const TITLE: &str = "Routed experts: positions of the text to the right, steps of each block downwards";

/// Side of a cell, room between strips, and positions of a strip at least.
const CELL: usize = 8;
const GAP: usize = 20;
const STRIP: usize = 128;
const LEFT: usize = 10;
const TOP: usize = 44;

/// The picture, where a position has at most `most` experts in a pass.
pub(super) fn draw(blocks: &[Block], most: u32) -> String {
    let mut cells = String::new();
    let (mut x, mut y, mut height, mut position, mut width) = (LEFT, TOP, 0, 0, 0);
    for block in blocks {
        let len = block.tokens.len();
        if x > LEFT && x + len * CELL > LEFT + STRIP * CELL {
            (x, y, height) = (LEFT, y + height + GAP, 0);
        }
        for (number, step) in block.steps.iter().enumerate() {
            for (at, experts) in step.experts.iter().enumerate() {
                let token = block.tokens.get(at).map_or("", String::as_str);
                let note = format!(
                    "position {}, step {}: {experts} of {most} experts, budget {:.2}\n{token}",
                    position + at,
                    number + 1,
                    step.share
                );
                // Writing to a string cannot fail.
                let _ = writeln!(
                    cells,
                    "<rect class=\"c\" x=\"{}\" y=\"{}\" fill=\"{}\"><title>{}</title></rect>",
                    x + at * CELL,
                    y + number * CELL,
                    colour(f64::from(*experts) / f64::from(most.max(1))),
                    escaped(&note)
                );
            }
        }
        height = height.max(block.steps.len() * CELL);
        x += len * CELL + 2;
        width = width.max(x);
        position += len;
    }
    let (width, height) = (width.max(420) + LEFT, y + height + LEFT);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <style>.c{{width:{CELL}px;height:{CELL}px}} text{{font:12px sans-serif}}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"16\">{TITLE}</text>\n\
         <text x=\"{LEFT}\" y=\"32\">pale: none of {most} (a position with a token, or one that needs none), dark: all</text>\n\
         {cells}</svg>\n"
    )
}

/// From pale grey to dark blue.
fn colour(share: f64) -> String {
    let mix = |from: f64, to: f64| (from + (to - from) * share.clamp(0.0, 1.0)).round() as u8;
    format!(
        "#{:02x}{:02x}{:02x}",
        mix(236.0, 8.0),
        mix(239.0, 48.0),
        mix(241.0, 107.0)
    )
}

fn escaped(text: &str) -> String {
    text.chars()
        .filter(|c| *c == '\n' || !c.is_control())
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            c => c.to_string(),
        })
        .collect()
}
