//! The pool of threads that tensors are computed with.

use std::env;
use std::thread::available_parallelism;

use rayon::ThreadPoolBuilder;

/// Variable from which rayon reads its number of threads, once.
pub(crate) const RAYON: &str = "RAYON_NUM_THREADS";

/// Makes this thread, which is to ask for all the work, one of the pool. From outside each of the hundreds of products of a pass is
/// handed over and waited for: waking threads takes longer than many of them. Results are the same, bit for bit.
///
/// A pool of one thread stays apart, so that work of other threads never waits for this one.
pub(crate) fn join_pool() {
    let asked = env::var(RAYON).ok().and_then(|n| n.parse().ok());
    let threads = match asked {
        None | Some(0) => available_parallelism().map_or(1, usize::from),
        Some(threads) => threads,
    };
    if threads > 1 {
        // A pool that is there already serves as well.
        ThreadPoolBuilder::new().use_current_thread().build_global().ok();
    }
}
