//! The Fréchet distance of two Gaussians (Heusel et al. 2017, arXiv 1706.08500, equation 6; Dowson and Landau 1982).

use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// Mean and covariance of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Gaussian {
    mean: DVector<f64>,
    covariance: DMatrix<f64>,
}

impl Gaussian {
    /// The mean and the covariance (over count - 1) of rows of equal length. With no more rows than columns the
    /// covariance is singular, which the distance bears.
    ///
    /// # Panics
    /// If there are fewer than two rows.
    #[must_use]
    pub fn fit(rows: &[&[f32]]) -> Self {
        assert!(rows.len() > 1, "a covariance needs two rows");
        let count = rows.len() as f64;
        let values = DMatrix::from_fn(rows.len(), rows[0].len(), |row, column| f64::from(rows[row][column]));
        let mean = values.row_sum().transpose() / count;
        let centred = DMatrix::from_fn(values.nrows(), values.ncols(), |row, column| {
            values[(row, column)] - mean[column]
        });
        let covariance = centred.transpose() * &centred / (count - 1.0);
        Self { mean, covariance }
    }

    /// The positive semi-definite square root of the covariance. What rounding made negative counts as 0.
    fn root(&self) -> DMatrix<f64> {
        let SymmetricEigen {
            eigenvectors,
            eigenvalues,
        } = SymmetricEigen::new(self.covariance.clone());
        let roots = DMatrix::from_diagonal(&eigenvalues.map(|value| value.max(0.0).sqrt()));
        &eigenvectors * roots * eigenvectors.transpose()
    }
}

/// `|m1 - m2|² + Tr(C1 + C2 - 2 (C1^½ C2 C1^½)^½)`: the squared distance, as it is always reported.
#[must_use]
pub fn frechet(one: &Gaussian, other: &Gaussian) -> f64 {
    let root = one.root();
    let product = &root * &other.covariance * &root;
    // Rounding leaves the product not quite symmetric.
    let product = (&product + product.transpose()) / 2.0;
    let shared: f64 = product
        .symmetric_eigenvalues()
        .iter()
        .map(|value| value.max(0.0).sqrt())
        .sum();
    let spread = one.covariance.trace() + other.covariance.trace() - 2.0 * shared;
    (&one.mean - &other.mean).norm_squared() + spread.max(0.0)
}

#[cfg(test)]
mod tests {
    use drdiff_testkit::{Inputs, assert_close};

    use super::*;

    fn gaussian(mean: &[f64], covariance: &[f64]) -> Gaussian {
        Gaussian {
            mean: DVector::from_row_slice(mean),
            covariance: DMatrix::from_row_slice(mean.len(), mean.len(), covariance),
        }
    }

    fn rows(seed: u64, count: usize, width: usize) -> Vec<Vec<f32>> {
        let numbers = Inputs::new(seed).numbers(count * width);
        numbers
            .chunks(width)
            .map(|row| row.iter().map(|value| *value as f32).collect())
            .collect()
    }

    fn fit(rows: &[Vec<f32>]) -> Gaussian {
        Gaussian::fit(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[test]
    fn mean_and_covariance_by_hand() {
        let fitted = fit(&[vec![1.0, 0.0], vec![3.0, 4.0], vec![5.0, 2.0]]);
        assert_close("mean", fitted.mean.as_slice(), &[3.0, 2.0]);
        assert_close("covariance", fitted.covariance.as_slice(), &[4.0, 2.0, 2.0, 4.0]);
    }

    #[test]
    fn on_a_line_it_is_the_difference_of_means_and_of_deviations() {
        // (1 - 4)² + (2 - 3)²
        let distance = frechet(&gaussian(&[1.0], &[4.0]), &gaussian(&[4.0], &[9.0]));
        assert_close("line", &[distance], &[10.0]);
    }

    #[test]
    fn of_commuting_covariances_the_roots_are_compared() {
        // Both have the eigenvectors (1, 1) and (1, -1), with eigenvalues 9 and 1, and 4 and 16: (3 - 2)² + (1 - 4)².
        let one = gaussian(&[0.0, 0.0], &[5.0, 4.0, 4.0, 5.0]);
        let other = gaussian(&[0.0, 0.0], &[10.0, -6.0, -6.0, 10.0]);
        assert_close("commuting", &[frechet(&one, &other)], &[10.0]);
    }

    /// `Tr((AB)^½)` of 2 x 2 matrices is `(Tr AB + 2 (det AB)^½)^½`.
    #[test]
    fn covariances_that_do_not_commute() {
        let one = gaussian(&[0.0, 0.0], &[2.0, 1.0, 1.0, 2.0]);
        let other = gaussian(&[0.0, 0.0], &[1.0, 0.0, 0.0, 3.0]);
        // Tr AB = 2 + 6, det AB = 3 * 3.
        assert_close("free", &[frechet(&one, &other)], &[8.0 - 2.0 * 14.0_f64.sqrt()]);
    }

    #[test]
    fn equal_sets_are_at_zero_and_order_does_not_matter() {
        // Fewer rows than columns: both covariances are singular.
        let (one, other) = (fit(&rows(1, 12, 20)), fit(&rows(2, 12, 20)));
        assert!(frechet(&one, &one) < 1e-6 * one.covariance.trace());
        assert_close("symmetry", &[frechet(&one, &other)], &[frechet(&other, &one)]);
        assert!(frechet(&one, &other) > 1.0);
    }
}
