//! A product of rounded rows with weights.

/// `x W^T` for rows of `inputs` numbers (a multiple of 32), `weights: [outputs, inputs]`, after each block of 32 numbers
/// of `x` was rounded to a multiple of its largest magnitude over 127.
#[must_use]
pub fn quantized_product(x: &[f64], weights: &[f64], inputs: usize) -> Vec<f64> {
    let rounded: Vec<f64> = x
        .chunks(32)
        .flat_map(|block| {
            let step = block.iter().fold(0.0f64, |peak, x| peak.max(x.abs())) / 127.0;
            let round = move |x: &f64| {
                if step > 0.0 {
                    (x / step).round_ties_even() * step
                } else {
                    0.0
                }
            };
            block.iter().map(round)
        })
        .collect();
    let mut out = Vec::new();
    for row in rounded.chunks(inputs) {
        for weight in weights.chunks(inputs) {
            out.push(row.iter().zip(weight).map(|(x, w)| x * w).sum());
        }
    }
    out
}
