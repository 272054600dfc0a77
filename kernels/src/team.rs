//! Threads that wait for one another by spinning: for passes of many short parts, where to wake threads costs more than the
//! parts do.
//!
//! Parts are cut into tasks that any thread takes. The thread that leads never waits for one that has not come: it does all
//! tasks itself that nobody else takes. What a task computes does not depend on who runs it.

#![allow(unsafe_code)]

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Rounds of waiting after which a thread lets others run in its place.
const PATIENCE: u32 = 20_000;

/// Threads of the current pool of rayon that stay together until this is dropped.
pub(crate) struct Team {
    shared: Arc<Shared>,
    threads: usize,
}

/// What the threads share.
struct Shared {
    /// Tasks of the current part in the high half, how many of them are taken in the low half.
    state: AtomicU64,
    part: UnsafeCell<Part>,
    finished: AtomicUsize,
    ended: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `part` is written by the leader alone, and only while no task can be taken; it is read by who has taken one.
unsafe impl Sync for Shared {}
// SAFETY: its pointer is used by who has taken a task of its part alone, and the leader keeps what it points to until then.
unsafe impl Send for Shared {}

/// A closure without its type and lifetime.
#[derive(Clone, Copy)]
struct Part {
    run: *const (),
    call: unsafe fn(*const (), usize),
}

unsafe fn nothing(_: *const (), _: usize) {}

unsafe fn call<F: Fn(usize) + Sync>(run: *const (), task: usize) {
    // SAFETY: `Team::each` made the pointer of an `F` and returns only when all tasks are finished.
    unsafe { (*run.cast::<F>())(task) }
}

impl Shared {
    /// Takes a task and runs it; `false` if all are taken.
    fn work(&self) -> bool {
        let state = self.state.load(Ordering::Acquire);
        let (tasks, taken) = (state >> 32, state & u64::from(u32::MAX));
        if taken >= tasks {
            return false;
        }
        let take = self
            .state
            .compare_exchange_weak(state, state + 1, Ordering::Acquire, Ordering::Relaxed);
        if take.is_ok() {
            // SAFETY: a task was taken and is not finished, so the leader waits and the part stays.
            let Part { run, call } = unsafe { *self.part.get() };
            // SAFETY: as above.
            let ran = catch_unwind(AssertUnwindSafe(|| unsafe { call(run, taken as usize) }));
            if let Err(panic) = ran {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            self.finished.fetch_add(1, Ordering::Release);
        }
        true
    }

    fn help(&self) {
        let mut rounds = 0;
        while !self.ended.load(Ordering::Relaxed) {
            rounds = if self.work() { 0 } else { wait(rounds) };
        }
    }
}

fn wait(rounds: u32) -> u32 {
    if rounds < PATIENCE {
        std::hint::spin_loop();
        rounds + 1
    } else {
        std::thread::yield_now();
        rounds
    }
}

impl Team {
    /// This thread, and as many others as the pool has beside one.
    pub(crate) fn new() -> Self {
        let threads = rayon::current_num_threads();
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            part: UnsafeCell::new(Part {
                run: std::ptr::null(),
                call: nothing,
            }),
            finished: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        for _ in 1..threads {
            let shared = shared.clone();
            rayon::spawn(move || shared.help());
        }
        Self { shared, threads }
    }

    /// How many threads there may be.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `run` for all `tasks`, on whichever threads have time, and returns when all are done.
    fn each<F: Fn(usize) + Sync>(&mut self, tasks: usize, run: F) {
        let Shared {
            state,
            part,
            finished,
            panic,
            ..
        } = &*self.shared;
        if self.threads == 1 || tasks < 2 {
            return (0..tasks).for_each(run);
        }
        assert!(u32::try_from(tasks).is_ok(), "{tasks} tasks");
        // SAFETY: the last part's tasks are all finished and none can be taken now, so nobody else reads or writes.
        unsafe {
            *part.get() = Part {
                run: (&raw const run).cast(),
                call: call::<F>,
            };
        }
        finished.store(0, Ordering::Relaxed);
        state.store((tasks as u64) << 32, Ordering::Release);
        while self.shared.work() {}
        let mut rounds = 0;
        while finished.load(Ordering::Acquire) < tasks {
            rounds = wait(rounds);
        }
        if let Some(panic) = panic.lock().unwrap_or_else(PoisonError::into_inner).take() {
            resume_unwind(panic);
        }
    }

    /// Runs `run` for all chunks of `items`, `width` long but for the last, with their places.
    pub(crate) fn each_chunk<T: Send>(&mut self, items: &mut [T], width: usize, run: impl Fn(usize, &mut [T]) + Sync) {
        struct Start<T>(*mut T);
        // SAFETY: tasks take disjoint chunks of items that may be sent.
        unsafe impl<T: Send> Sync for Start<T> {}
        impl<T> Start<T> {
            /// # Safety
            /// The items must be borrowed for as long, and nobody else may have any of these.
            #[allow(clippy::mut_from_ref, reason = "chunks are disjoint")]
            unsafe fn chunk(&self, first: usize, len: usize) -> &mut [T] {
                // SAFETY: as above.
                unsafe { std::slice::from_raw_parts_mut(self.0.add(first), len) }
            }
        }
        let (len, start) = (items.len(), Start(items.as_mut_ptr()));
        self.each(len.div_ceil(width.max(1)), |task| {
            let first = task * width;
            // SAFETY: chunk `task` lies inside the items, which are borrowed alone, and each task runs once.
            run(task, unsafe { start.chunk(first, width.min(len - first)) });
        });
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_whatever_the_threads() {
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let work = || {
                let mut team = Team::new();
                let mut items = vec![0usize; 1000];
                for round in 0..2000 {
                    let width = 1 + round % 97;
                    team.each_chunk(&mut items, width, |chunk, items| {
                        for (at, item) in items.iter_mut().enumerate() {
                            *item += chunk * width + at;
                        }
                    });
                }
                assert!(items.iter().enumerate().all(|(at, item)| *item == 2000 * at));
            };
            pool.install(work);
            // Several at once.
            pool.scope(|scope| (0..4).for_each(|_| scope.spawn(|_| work())));
        }
    }

    #[test]
    fn a_panic_reaches_who_leads() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let ran = pool.install(|| {
            let mut team = Team::new();
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                team.each(50, |task| assert!(task != 17, "task {task}"));
            }));
            let mut items = [0; 9];
            team.each_chunk(&mut items, 2, |chunk, items| items.fill(chunk));
            (panicked.is_err(), items)
        });
        assert_eq!(ran, (true, [0, 0, 1, 1, 2, 2, 3, 3, 4]));
    }
}
