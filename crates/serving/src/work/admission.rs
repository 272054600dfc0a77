//! Who is let in: places are counted before anything of a request is tokenized.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The right of some texts to wait and to be written.
pub(crate) type Permit = OwnedSemaphorePermit;

/// Longest time in seconds that a client is told to stay away.
const LONGEST: u64 = 60;

/// Places for texts that are written and for texts that wait.
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    most: usize,
    slots: usize,
    /// Running mean of how long a text takes, in milliseconds.
    mean: AtomicU64,
}

impl Admission {
    pub(crate) fn new(slots: usize, waiting: usize) -> Self {
        let most = slots.saturating_add(waiting).min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(most)),
            most,
            slots: slots.max(1),
            mean: AtomicU64::new(1000),
        }
    }

    /// Texts that are let in at most.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Places for so many texts; none if there are fewer.
    pub(crate) fn reserve(&self, texts: usize) -> Option<Permit> {
        let texts = u32::try_from(texts).ok()?;
        self.places.clone().try_acquire_many_owned(texts).ok()
    }

    /// A text took this long.
    pub(crate) fn took(&self, time: Duration) {
        let (mean, time) = (self.mean.load(Ordering::Relaxed), time.as_millis() as u64);
        self.mean.store((7 * mean + time) / 8, Ordering::Relaxed);
    }

    /// Seconds until a slot is probably free.
    pub(crate) fn seconds(&self) -> u64 {
        let mean = self.mean.load(Ordering::Relaxed) / self.slots as u64;
        mean.div_ceil(1000).clamp(1, LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let admission = Admission::new(1, 2);
        let two = admission.reserve(2).unwrap();
        assert!(admission.reserve(2).is_none());
        assert!(admission.reserve(1).is_some());
        drop(two);
        assert!(admission.reserve(3).is_some());
    }

    #[test]
    fn the_wait_follows_the_mean_and_is_bounded() {
        let admission = Admission::new(2, 2);
        assert_eq!(admission.seconds(), 1);
        for _ in 0..100 {
            admission.took(Duration::from_secs(10));
        }
        assert_eq!(admission.seconds(), 5);
        admission.took(Duration::from_secs(100_000));
        assert_eq!(admission.seconds(), 60);
    }
}
