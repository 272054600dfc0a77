//! Matrix views over slices, and products between them: bounds are checked once a product, then `gemm` runs.

#![allow(unsafe_code)]

use rayon::prelude::*;

/// A matrix in a slice: element (i, j) is `data[i * row + j * col]`.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row: usize,
    col: usize,
}

impl<'a> Mat<'a> {
    /// Rows of `cols` neighbouring numbers, `stride` apart.
    pub(crate) fn rows(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        check(data.len(), rows, cols, stride);
        Self {
            data,
            rows,
            cols,
            row: stride,
            col: 1,
        }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// The numbers from the first row on, and how far apart rows are whose numbers are neighbours.
    pub(crate) fn lines(&self) -> (&'a [f32], usize) {
        assert_eq!(self.col, 1, "numbers of a row are neighbours");
        (self.data, self.row)
    }

    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row: self.col,
            col: self.row,
            ..self
        }
    }
}

fn check(len: usize, rows: usize, cols: usize, stride: usize) {
    let needed = if rows == 0 || cols == 0 {
        0
    } else {
        (rows - 1) * stride + cols
    };
    assert!(
        needed <= len,
        "a matrix of {rows} x {cols} (stride {stride}) does not fit a slice of {len}"
    );
}

/// How many threads a product may use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The caller already runs on all of them.
    One,
    /// All of rayon's.
    All,
}

/// `out = keep * out + scale * a b`, where `out` has `b.cols` neighbouring numbers a row, `stride` apart.
///
/// With `keep` 0, `out` is not read.
pub(crate) fn product(out: &mut [f32], stride: usize, keep: f32, scale: f32, a: Mat<'_>, b: Mat<'_>, threads: Threads) {
    assert_eq!(a.cols, b.rows, "inner dimensions of a product");
    check(out.len(), a.rows, b.cols, stride);
    if a.rows == 0 || b.cols == 0 {
        return;
    }
    let parallelism = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::All => gemm::Parallelism::Rayon(0),
    };
    // SAFETY: all three matrices were checked to lie inside their slices, and `out` is borrowed alone.
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            out.as_mut_ptr(),
            1,
            stride as isize,
            keep != 0.0,
            a.data.as_ptr(),
            a.col as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.col as isize,
            b.row as isize,
            keep,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Outputs in one product of [`linear`]: their weights, packed, stay in the second-level cache.
const COLUMNS: usize = 256;

/// Up to as many rows, [`linear`] makes the product's transpose: then the rows fill the registers' lanes, and weights are
/// read where they lie instead of being packed first.
const FEW: usize = 128;

/// `x w^T`, `[rows, outputs]`, for `x: [rows, inputs]` and `w: [outputs, inputs]`.
pub(crate) fn linear(x: &[f32], w: &[f32], inputs: usize) -> Vec<f32> {
    let (rows, outputs) = (x.len() / inputs, w.len() / inputs);
    let mut out = vec![0.0; rows * outputs];
    let x = Mat::rows(x, rows, inputs, inputs);
    if rows > FEW {
        for (index, w) in w.chunks(COLUMNS * inputs).enumerate() {
            let w = Mat::rows(w, w.len() / inputs, inputs, inputs);
            product(&mut out[index * COLUMNS..], outputs, 0.0, 1.0, x, w.t(), Threads::All);
        }
        return out;
    }
    let transposed: Vec<Vec<f32>> = w
        .par_chunks(COLUMNS * inputs)
        .map(|w| {
            let w = Mat::rows(w, w.len() / inputs, inputs, inputs);
            let mut columns = vec![0.0; w.rows * rows];
            product(&mut columns, rows, 0.0, 1.0, w, x.t(), Threads::One);
            columns
        })
        .collect();
    for (row, out) in out.chunks_mut(outputs.max(1)).enumerate() {
        let columns = transposed.iter().flat_map(|columns| columns.chunks(rows));
        for (out, column) in out.iter_mut().zip(columns) {
            *out = column[row];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_map_matches_loops_for_few_rows_and_many() {
        for (rows, outputs, inputs) in [
            (1, 1, 1),
            (3, 300, 40),
            (48, 257, 7),
            (49, 600, 33),
            (70, 5, 64),
            (0, 4, 3),
        ] {
            let x: Vec<f32> = (0..rows * inputs).map(|i| (i as f32 * 0.3).sin()).collect();
            let w: Vec<f32> = (0..outputs * inputs).map(|i| (i as f32 * 0.7).cos()).collect();
            let got: Vec<f64> = linear(&x, &w, inputs).into_iter().map(f64::from).collect();
            let dot = |(x, w): (&[f32], &[f32])| x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
            let want: Vec<f64> = x
                .chunks(inputs)
                .flat_map(|x| w.chunks(inputs).map(move |w| (x, w)))
                .map(dot)
                .collect();
            drdiff_testkit::assert_close("linear", &got, &want);
        }
    }

    #[test]
    fn a_product_of_views_matches_loops() {
        let a: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let b: Vec<f32> = (0..20).map(|i| (i as f32) - 7.0).collect();
        let mut out = vec![1.0f32; 2 * 6];
        // a: 2 x 3 with stride 5; b^T: 3 x 4 out of a 4 x 3 with stride 5.
        product(
            &mut out,
            6,
            2.0,
            0.5,
            Mat::rows(&a, 2, 3, 5),
            Mat::rows(&b, 4, 3, 5).t(),
            Threads::One,
        );
        for i in 0..2 {
            for j in 0..4 {
                let dot: f32 = (0..3).map(|k| a[i * 5 + k] * b[j * 5 + k]).sum();
                assert!((out[i * 6 + j] - (2.0 + 0.5 * dot)).abs() < 1e-5);
            }
        }
        assert_eq!(out[4], 1.0, "numbers between the rows stay");
    }
}
