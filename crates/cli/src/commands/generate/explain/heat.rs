//! A map of a few lines: steps downwards, positions of a block sideways, means over all blocks.

use super::Block;

/// Columns at most; wider blocks have several positions in one.
const COLUMNS: usize = 64;
const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];

/// A line for each step, with shades for the share of the `most` experts that ran and their mean as a percentage.
pub(super) fn draw(blocks: &[Block], most: u32) -> String {
    let steps = blocks.iter().map(|block| block.steps.len()).max().unwrap_or(0);
    let mut map = format!(
        "experts that ran, by step and position of a block, mean of {} blocks",
        blocks.len()
    );
    for step in 0..steps {
        let rows: Vec<&[u32]> = blocks
            .iter()
            .filter_map(|block| Some(block.steps.get(step)?.experts.as_slice()))
            .collect();
        let width = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let each = width.div_ceil(COLUMNS).max(1);
        let mean = |range: std::ops::Range<usize>| {
            let cells = rows.iter().flat_map(|row| row.iter().take(range.end).skip(range.start));
            let (count, sum) = cells.fold((0u32, 0u64), |(count, sum), n| (count + 1, sum + u64::from(*n)));
            sum as f64 / f64::from(count.max(1)) / f64::from(most.max(1))
        };
        let shade = |first: usize| {
            let level = (mean(first..first + each) * (SHADES.len() - 1) as f64).ceil() as usize;
            SHADES[level.min(SHADES.len() - 1)]
        };
        let line: String = (0..width).step_by(each).map(shade).collect();
        map += &format!("\n  step {:>3} |{line}| {:>3.0} %", step + 1, 100.0 * mean(0..width));
    }
    map
}
