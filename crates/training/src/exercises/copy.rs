//! Random words that stand twice in a window, with gaps that the other copy fills.

use drdiff_data::hay;
use drdiff_noise::NoiseStream;

use super::Exercise;

/// Longest gap, and longest stretch between two.
const GAP: usize = 12;
const BETWEEN: usize = 24;

/// A window of `bytes` bytes (at least 32): hay, a stretch of it, hay, the same stretch again, hay. Gaps lie in one copy or the other,
/// never in both at one place, so each can be filled from what stands elsewhere (the self-copy warm-up of
/// arXiv 2511.23319, section 3.2, here to both sides).
pub(super) fn copy(stream: &mut NoiseStream, bytes: usize) -> Exercise {
    let (least, most) = (bytes / 4, bytes * 15 / 32);
    let len = least + stream.below(most - least + 1);
    let room = bytes - 2 * len;
    let before = stream.below(room + 1);
    let between = stream.below(room - before + 1);
    let copied = hay(stream, len);
    let parts = [
        hay(stream, before),
        copied.clone(),
        hay(stream, between),
        copied,
        hay(stream, room - before - between),
    ];
    let starts = [before, before + len + between];
    let mut open = Vec::new();
    let mut at = stream.below(BETWEEN);
    while at < len {
        let end = (at + 1 + stream.below(GAP)).min(len);
        let start = starts[stream.below(2)];
        open.extend(start + at..start + end);
        at = end + 2 + stream.below(BETWEEN);
    }
    open.sort_unstable();
    Exercise {
        text: parts.concat(),
        open,
    }
}
