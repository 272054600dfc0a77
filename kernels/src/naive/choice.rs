//! Choices by score, and lists of what was chosen.

/// For each unit the `slots` candidates with the highest scores in any of its rows, of equal ones the first, ascending;
/// `scores: [U, widest, columns]`, two ranges of candidates a unit. NaN is no score.
#[must_use]
pub fn strongest(
    scores: &[f64],
    (widest, columns): (usize, usize),
    candidates: &[[usize; 4]],
    slots: usize,
) -> Vec<Vec<usize>> {
    let unit = |(unit, [a, b, c, d]): (usize, &[usize; 4])| {
        let score = |column: usize| {
            let rows = unit * widest..(unit + 1) * widest;
            let of_rows = rows.map(|row| scores[row * columns + column]);
            of_rows.filter(|score| !score.is_nan()).reduce(f64::max)
        };
        let either = (0..columns).filter(|column| (*a..*b).contains(column) || (*c..*d).contains(column));
        let mut ranked: Vec<(usize, f64)> = either.filter_map(|column| Some((column, score(column)?))).collect();
        // Stable: of equal ones the first stays before the others. The sum makes -0 equal 0.
        ranked.sort_by(|(_, x), (_, y)| (y + 0.0).total_cmp(&(x + 0.0)));
        let mut chosen: Vec<usize> = ranked.into_iter().take(slots).map(|(column, _)| column).collect();
        chosen.sort_unstable();
        chosen
    };
    candidates.iter().enumerate().map(unit).collect()
}

/// `len` numbers, all `fill` but for `counts[i]` of them from `starts[i]` on, which begin with `values[i]` and grow by
/// `step`.
#[must_use]
pub fn fill_runs([starts, values, counts]: [&[usize]; 3], len: usize, (fill, step): (usize, usize)) -> Vec<usize> {
    let number = |at: usize| {
        let run = (0..starts.len()).find(|&run| (starts[run]..starts[run] + counts[run]).contains(&at));
        run.map_or(fill, |run| values[run] + step * (at - starts[run]))
    };
    (0..len).map(number).collect()
}
