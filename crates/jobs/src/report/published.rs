//! Curves that others published, to lay beside our own.

/// Perplexity by network passes, at a fixed length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    /// The method, and where its figures are from.
    pub name: &'static str,
    /// Tokens of each text.
    pub tokens: f64,
    /// Passes and perplexity, the most passes last.
    pub points: &'static [(f64, f64)],
}

/// Unconditional texts of 1,024 tokens, trained on OpenWebText, about 170 M parameters, judged by GPT-2 Large, drawn in
/// f64 without nucleus: tables of the appendix of "The Diffusion Duality" (arXiv 2506.10892). Model, data and judge are
/// others than ours, so only ratios may be compared.
pub const PUBLISHED: &[Published] = &[
    Published {
        name: "MDLM, published",
        tokens: 1024.0,
        points: &[
            (8.0, 830.82),
            (16.0, 343.33),
            (32.0, 196.79),
            (64.0, 143.88),
            (128.0, 120.77),
            (256.0, 112.70),
            (512.0, 104.43),
            (1024.0, 104.85),
        ],
    },
    Published {
        name: "Duo, published",
        tokens: 1024.0,
        points: &[
            (8.0, 198.27),
            (16.0, 122.78),
            (32.0, 96.19),
            (64.0, 85.62),
            (128.0, 80.02),
            (256.0, 78.62),
            (512.0, 78.14),
            (1024.0, 77.69),
        ],
    },
];

impl Published {
    /// Passes a token, and perplexity relative to that at the most passes.
    pub fn ratios(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let last = self.points.last().map_or(1.0, |(_, perplexity)| *perplexity);
        self.points
            .iter()
            .map(move |(passes, perplexity)| (passes / self.tokens, perplexity / last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_the_field_quotes() {
        let at = |curve: usize, passes: f64| {
            let ratio = PUBLISHED[curve].ratios().find(|(x, _)| *x == passes / 1024.0);
            (ratio.unwrap().1 * 100.0).round() / 100.0
        };
        assert_eq!(
            [1024.0, 128.0, 64.0, 32.0, 16.0].map(|n| at(0, n)),
            [1.0, 1.15, 1.37, 1.88, 3.27]
        );
        assert_eq!(
            [1024.0, 128.0, 64.0, 32.0, 16.0, 8.0].map(|n| at(1, n)),
            [1.0, 1.03, 1.1, 1.24, 1.58, 2.55]
        );
    }
}
