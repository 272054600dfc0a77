//! Axes: from values to pixels, and the ticks that people can read.

/// How values are spread along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Equal differences, equal distances.
    Linear,
    /// Equal ratios, equal distances; only values above 0 can be shown.
    Log,
}

/// A range of values on a range of pixels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    spread: Spread,
    values: [f64; 2],
    pixels: [f64; 2],
}

impl Scale {
    /// A scale on which all `values` lie a little away from the ends. `None` without a value that can be shown.
    pub(super) fn around(values: impl Iterator<Item = f64>, spread: Spread, pixels: [f64; 2]) -> Option<Self> {
        let shown = values
            .filter(|value| spread.shows(*value))
            .map(|value| spread.of(value));
        let (low, high) = shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if low > high {
            return None;
        }
        // A range of no width still needs room for its ticks.
        let least = match spread {
            Spread::Linear => low.abs().max(1e-3) * 0.1,
            Spread::Log => 0.1,
        };
        let margin = 0.07 * (high - low).max(least);
        let width = (high - low).max(least);
        let middle = 0.5 * (low + high);
        let mut values = [middle - 0.5 * width - margin, middle + 0.5 * width + margin];
        // Nothing that is counted from 0 shows room below it.
        if spread == Spread::Linear && low >= 0.0 {
            values[0] = values[0].max(0.0);
        }
        Some(Self { spread, values, pixels })
    }

    /// Place of a value, if the scale can show it.
    pub(super) fn at(&self, value: f64) -> Option<f64> {
        let [low, high] = self.values;
        let share = (self.spread.of(value) - low) / (high - low);
        let inside = (-1e-9..=1.0 + 1e-9).contains(&share);
        (self.spread.shows(value) && inside).then(|| self.pixels[0] + share * (self.pixels[1] - self.pixels[0]))
    }

    /// Values to mark, with their texts: between 3 and 8.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let values = match self.spread {
            Spread::Linear => round_steps(self.values),
            Spread::Log => self.log_ticks(),
        };
        let values: Vec<f64> = values.into_iter().filter(|value| self.at(*value).is_some()).collect();
        let least = values
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .fold(f64::INFINITY, f64::min);
        values.iter().map(|value| (*value, number(*value, least))).collect()
    }

    fn log_ticks(&self) -> Vec<f64> {
        let [low, high] = self.values;
        let (first, last) = (low.floor() as i32, high.ceil() as i32);
        let decades = |factors: &[f64]| -> Vec<f64> {
            let all = (first..=last).flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)));
            all.filter(|value| self.at(*value).is_some()).collect()
        };
        let sets: [&[f64]; 4] = [
            &[1.0],
            &[1.0, 3.0],
            &[1.0, 2.0, 5.0],
            &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
        ];
        let ticks = sets
            .iter()
            .map(|factors| decades(factors))
            .find(|ticks| ticks.len() >= 4);
        // Within less than a decade, round steps read better than powers.
        ticks.unwrap_or_else(|| round_steps([10_f64.powf(low), 10_f64.powf(high)]))
    }
}

impl Spread {
    fn shows(self, value: f64) -> bool {
        value.is_finite() && (self == Self::Linear || value > 0.0)
    }

    fn of(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.log10(),
        }
    }
}

/// Multiples of 1, 2, 2.5 or 5 times a power of ten, about six of them.
fn round_steps([low, high]: [f64; 2]) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * power >= rough)
        .unwrap_or(10.0);
    let step = factor * power;
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last).map(|k| k as f64 * step).collect()
}

/// A tick's text: as many decimals as tell it from its neighbours, `1,200` for large numbers.
fn number(value: f64, step: f64) -> String {
    let size = if step.is_finite() {
        step.min(value.abs().max(step))
    } else {
        value.abs()
    };
    let mut decimals = if size > 0.0 {
        (-size.log10().floor()).clamp(0.0, 6.0) as usize
    } else {
        0
    };
    // A step of 2.5 needs a decimal more than its size says.
    let scaled = size * 10_f64.powi(decimals as i32);
    if (scaled - scaled.round()).abs() > 1e-6 && decimals < 6 {
        decimals += 1;
    }
    let text = format!("{value:.decimals$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    let (whole, rest) = text
        .split_once('.')
        .map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if index > 0 && left % 3 == 0 && digit.is_ascii_digit() && whole.as_bytes()[index - 1].is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match rest {
        Some(rest) => format!("{grouped}.{rest}"),
        None => grouped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(values: &[f64], spread: Spread) -> Vec<String> {
        let scale = Scale::around(values.iter().copied(), spread, [0.0, 100.0]).unwrap();
        scale.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(&[0.0, 1.0], Spread::Linear), ["0", "0.25", "0.5", "0.75", "1"]);
        assert_eq!(ticks(&[0.01, 100.0], Spread::Log), ["0.01", "0.1", "1", "10", "100"]);
        assert_eq!(
            ticks(&[100.0, 9000.0], Spread::Log),
            ["100", "300", "1,000", "3,000", "10,000"]
        );
        for values in [
            [3.1, 3.2],
            [0.5, 0.5],
            [104.0, 830.0],
            [1e6, 1e9],
            [0.008, 1.0],
            [40.0, 55.0],
        ] {
            for spread in [Spread::Linear, Spread::Log] {
                let ticks = ticks(&values, spread);
                assert!((3..=9).contains(&ticks.len()), "{values:?} {spread:?} {ticks:?}");
                let mut unique = ticks.clone();
                unique.dedup();
                assert_eq!(unique, ticks, "{values:?}");
            }
        }
    }

    #[test]
    fn values_keep_their_order_and_stay_inside() {
        let scale = Scale::around([1.0, 10.0, 100.0].into_iter(), Spread::Log, [0.0, 300.0]).unwrap();
        let places: Vec<f64> = [1.0, 10.0, 100.0].map(|value| scale.at(value).unwrap()).to_vec();
        assert!(places[0] > 0.0 && places[2] < 300.0);
        assert!((places[1] - 150.0).abs() < 1e-9, "equal ratios are equal distances");
        assert_eq!(scale.at(0.0), None);
        assert_eq!(scale.at(f64::NAN), None);
        assert!(Scale::around([f64::NAN, -1.0].into_iter(), Spread::Log, [0.0, 1.0]).is_none());
    }
}
