//! Where a block grows that is written from several places at once.

use std::cmp::Reverse;

/// The first positions of the `count` longest of at least `stretches` stretches, ascending. Stretches are the runs of neighbours
/// among the positions `open`; where there are too few runs, the longest are divided evenly. So stretches outlast the step that began them,
/// whatever the next one commits: each goes on behind its own last token.
pub(crate) fn heads(open: &[usize], count: usize, stretches: usize) -> Vec<usize> {
    // Runs as places in `open`: the first one, the length, and the number of stretches in it.
    let mut runs: Vec<(usize, usize, usize)> = Vec::new();
    for (place, position) in open.iter().enumerate() {
        match runs.last_mut() {
            Some((first, length, _)) if open[*first] + *length == *position => *length += 1,
            _ => runs.push((place, 1, 1)),
        }
    }
    for _ in runs.len()..stretches.min(open.len()) {
        let longest = runs
            .iter_mut()
            .rev()
            .max_by_key(|(_, length, parts)| length.div_ceil(*parts));
        longest.into_iter().for_each(|(.., parts)| *parts += 1);
    }
    let mut all: Vec<(usize, usize)> = Vec::new();
    for (first, length, parts) in runs {
        let edge = |part: usize| first + (part * length).div_ceil(parts);
        all.extend((0..parts).map(|part| (open[edge(part)], edge(part + 1) - edge(part))));
    }
    all.sort_by_key(|(position, length)| (Reverse(*length), *position));
    let mut chosen: Vec<usize> = all.into_iter().take(count).map(|(position, _)| position).collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::heads;

    #[test]
    fn stretches_outlast_steps_that_commit_fewer() {
        // 32 positions in 14 steps, as a linear pace has them; each of three stretches always goes on behind its own last token.
        let (total, steps) = (32, 14);
        let mut open: Vec<usize> = (0..total).collect();
        let mut starts = Vec::new();
        for step in 0..steps {
            let count = open.len() - total * (steps - 1 - step) / steps;
            let stretches = open.len().div_ceil(steps - step).max(count);
            let chosen = heads(&open, count, stretches);
            assert_eq!(chosen.len(), count);
            let begins = |p: &usize| *p == 0 || open.contains(&(p - 1));
            starts.extend(chosen.iter().copied().filter(begins));
            open.retain(|position| !chosen.contains(position));
        }
        assert!(open.is_empty());
        assert_eq!(
            starts,
            [0, 11, 22],
            "positions that were written before their left neighbours, and the first"
        );
        // Where a text was given in part, its gaps are the stretches.
        let gaps = [3, 4, 5, 9, 10, 11, 12, 15];
        assert_eq!(heads(&gaps, 2, 2), [3, 9]);
        assert_eq!(heads(&gaps, 4, 4), [3, 9, 11, 15]);
    }
}
