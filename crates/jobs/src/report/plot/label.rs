//! Where words beside points go: the first free place around the point, or none.

/// Rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    fn meets(&self, other: &Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }

    fn holds(&self, other: &Self) -> bool {
        self.left <= other.left && other.right <= self.right && self.top <= other.top && other.bottom <= self.bottom
    }
}

/// Width of a text in pixels, roughly: sans-serif letters are a little more than half as wide as they are high.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars()
        .map(|c| {
            if c.is_uppercase() || c == 'm' || c == 'w' {
                0.72
            } else {
                0.56
            }
        })
        .sum::<f64>()
        * size
}

/// Room that is taken.
#[derive(Debug)]
pub(super) struct Room {
    inside: Area,
    taken: Vec<Area>,
}

impl Room {
    /// A plot's inside with the places of its markers.
    pub(super) fn new(inside: Area, points: impl Iterator<Item = (f64, f64)>) -> Self {
        let around = |(x, y): (f64, f64)| Area {
            left: x - 5.0,
            top: y - 5.0,
            right: x + 5.0,
            bottom: y + 5.0,
        };
        Self {
            inside,
            taken: points.map(around).collect(),
        }
    }

    /// Takes an area, so that no word is put there.
    pub(super) fn take(&mut self, area: Area) {
        self.taken.push(area);
    }

    /// Takes a line, bit by bit.
    pub(super) fn take_line(&mut self, from: (f64, f64), to: (f64, f64)) {
        const BIT: f64 = 6.0;
        let bits = ((to.0 - from.0).hypot(to.1 - from.1) / BIT).ceil();
        for bit in 0..=bits as usize {
            let share = bit as f64 / bits.max(1.0);
            let (x, y) = (from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1));
            self.take(Area {
                left: x - 1.5,
                top: y - 1.5,
                right: x + 1.5,
                bottom: y + 1.5,
            });
        }
    }

    /// Left end and baseline of `text` near a point, if there is room for it.
    pub(super) fn place(&mut self, text: &str, size: f64, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        let wide = width(text, size);
        let tries = [
            (x + 7.0, y - 5.0),
            (x + 8.0, y + 0.35 * size),
            (x - 0.5 * wide, y - 9.0),
            (x + 7.0, y + size + 2.0),
            (x - 0.5 * wide, y + size + 8.0),
            (x - 7.0 - wide, y - 5.0),
            (x - 8.0 - wide, y + 0.35 * size),
            (x - 7.0 - wide, y + size + 2.0),
        ];
        let area = |(left, base): (f64, f64)| Area {
            left,
            top: base - 0.85 * size,
            right: left + wide,
            bottom: base + 0.2 * size,
        };
        let free = |place: &(f64, f64)| {
            let area = area(*place);
            self.inside.holds(&area) && !self.taken.iter().any(|taken| taken.meets(&area))
        };
        let place = tries.into_iter().find(free)?;
        self.taken.push(area(place));
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_never_meet() {
        let inside = Area {
            left: 0.0,
            top: 0.0,
            right: 100.0,
            bottom: 100.0,
        };
        let points = [(50.0, 50.0), (54.0, 52.0), (97.0, 50.0)];
        let mut room = Room::new(inside, points.into_iter());
        let placed: Vec<_> = (0..12).map(|i| room.place("16", 11.0, points[i % 3])).collect();
        assert!(placed[..3].iter().all(Option::is_some));
        assert!(placed.contains(&None), "when it is full, words are left out");
        for (index, area) in room.taken.iter().enumerate().skip(points.len()) {
            assert!(inside.holds(area));
            assert!(!room.taken[..index].iter().any(|other| other.meets(area)));
        }
    }
}
