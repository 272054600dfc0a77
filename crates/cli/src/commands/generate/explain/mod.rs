//! `--explain`: where the routed experts ran, over positions and steps, as an SVG and as a few lines on the terminal.

mod heat;
mod svg;

use std::path::Path;

use anyhow::Result;
use drdiff_data::Tokenizer;
use drdiff_files::Output;
use drdiff_generation::PassCompute;
use drdiff_model::NetworkSpec;

use crate::exit::usage;

/// One step of a block.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    share: f64,
    /// Experts of each position, over all layers.
    experts: Vec<u32>,
}

/// A block with its steps, in order.
#[derive(Debug, Clone, Default, PartialEq)]
struct Block {
    steps: Vec<Step>,
    /// The text of each position, as far as it is known.
    tokens: Vec<String>,
}

/// The file for the picture: none of `inputs`, and none that holds anything else than an earlier picture.
pub(super) fn claim<I: AsRef<Path>>(path: &Path, inputs: &[I]) -> Result<Output> {
    let is_own = |old: &Path| std::fs::read_to_string(old).is_ok_and(|old| old.contains(svg::TITLE));
    Ok(Output::claim(path, inputs)?.over("picture of `--explain`", is_own)?)
}

/// What a text has cost so far, block by block.
#[derive(Debug)]
pub(super) struct Explanation {
    output: Output,
    /// Experts that a position can have in a pass.
    most: u32,
    blocks: Vec<Block>,
}

impl Explanation {
    /// Begins an explanation of texts of `model`.
    pub(super) fn new(output: Output, model: &NetworkSpec) -> Result<Self> {
        let layers = model.routing.routed_layers(model.layers).count();
        if layers == 0 {
            return Err(usage(
                "--explain shows where routed experts run, and this model has none; leave it out".to_owned(),
            ));
        }
        Ok(Self {
            output,
            most: (layers * model.routing.experts) as u32,
            blocks: Vec::new(),
        })
    }

    /// Adds a pass over block number `block`, whose tokens are now `canvas`.
    pub(super) fn pass(&mut self, block: usize, canvas: &[Option<u32>], compute: &PassCompute, tokens: &Tokenizer) {
        if self.blocks.len() <= block {
            self.blocks.resize(block + 1, Block::default());
        }
        let mut experts = compute.experts.clone();
        experts.resize(canvas.len(), 0);
        let block = &mut self.blocks[block];
        block.tokens = canvas
            .iter()
            .map(|token| token.map_or_else(String::new, |token| tokens.decode(&[token])))
            .collect();
        block.steps.push(Step {
            share: compute.share,
            experts,
        });
    }

    /// Writes the picture, and returns the lines for the terminal.
    pub(super) fn finish(self) -> Result<String> {
        self.output.write(svg::draw(&self.blocks, self.most).as_bytes())?;
        Ok(heat::draw(&self.blocks, self.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(steps: &[&[u32]]) -> Block {
        let step = |experts: &&[u32]| Step {
            share: 0.5,
            experts: experts.to_vec(),
        };
        Block {
            steps: steps.iter().map(step).collect(),
            tokens: vec![" a<b".to_owned(); steps[0].len()],
        }
    }

    #[test]
    fn every_position_and_step_is_drawn() {
        let blocks = [block(&[&[4, 0, 2], &[0, 0, 4]]), block(&[&[1, 1]])];
        let picture = svg::draw(&blocks, 4);
        assert_eq!(picture.matches("<rect class=\"c\"").count(), 3 + 3 + 2);
        assert!(picture.contains("&lt;") && !picture.contains("a<b"));
        assert!(picture.contains("position 2, step 2: 4 of 4 experts"));
        assert!(picture.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn the_terminal_shows_means_over_blocks() {
        let blocks = [block(&[&[4, 0], &[2, 0]]), block(&[&[4, 4], &[2, 0]])];
        let lines: Vec<String> = heat::draw(&blocks, 4).lines().map(str::to_owned).collect();
        assert!(lines[0].contains("2 blocks"), "{lines:?}");
        assert!(lines[1].contains("█▒") && lines[1].contains("75 %"), "{lines:?}");
        assert!(lines[2].contains("▒ ") && lines[2].contains("25 %"), "{lines:?}");
        assert_eq!(lines.len(), 3);
    }
}
