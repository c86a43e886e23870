//! Something that the compiler is asked for by lanes that wait for it. It is made once and stays, whatever it has come to; but where
//! something was used up, it is tried again for whoever asks next.

use madrpc_kernels::{Reason, Refused};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What a job comes to.
pub(super) type Made<T> = Result<T, Failed>;

pub(super) enum Failed {
    /// It would always.
    ForGood(Refused),
    /// Not for another reason than that something is used up at the moment.
    Now(Refused),
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        match refused.reason {
            Reason::System => Self::Now(refused),
            _ => Self::ForGood(refused),
        }
    }
}

#[derive(Debug)]
pub(super) struct Job<T> {
    made: OnceLock<Result<T, Refused>>,
    /// Lanes that wait for it: for none it is not made.
    waiting: AtomicU32,
    /// Whether it is in the compiler's queue, where each job is once.
    is_queued: AtomicBool,
    /// How often something was used up, and what it was the first time.
    failures: AtomicU32,
    failure: OnceLock<Refused>,
}

impl<T> Default for Job<T> {
    fn default() -> Self {
        Self {
            made: OnceLock::new(),
            waiting: AtomicU32::new(0),
            is_queued: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            failure: OnceLock::new(),
        }
    }
}

impl<T> Job<T> {
    /// One that is done.
    pub(super) fn done(made: T) -> Self {
        Self {
            made: OnceLock::from(Ok(made)),
            ..Self::default()
        }
    }

    /// What it has come to; `None` before.
    pub(super) fn made(&self) -> Option<&Result<T, Refused>> {
        self.made.get()
    }

    /// Waits for it, for as long as this is kept; `ask` puts it in the compiler's queue, where it is not there.
    pub(super) fn wait(&self, ask: impl FnOnce() -> Result<(), Refused>) -> Waiting<'_, T> {
        let failures = self.failures.load(Ordering::SeqCst);
        // Before the look at the queue: the compiler takes it off the queue first, and then looks whether anybody waits.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let waiting = Waiting {
            job: self,
            failures,
        };
        if self.made.get().is_none()
            && !self.is_queued.swap(true, Ordering::SeqCst)
            && let Err(refused) = ask()
        {
            self.is_queued.store(false, Ordering::SeqCst);
            self.finish(Err(refused.into()));
        }
        waiting
    }
}

/// On the compiler's thread.
impl<T> Job<T> {
    /// It comes off the queue; says whether it is still to be done.
    pub(super) fn take(&self) -> bool {
        self.is_queued.store(false, Ordering::SeqCst);
        self.waiting.load(Ordering::SeqCst) > 0 && self.made.get().is_none()
    }

    /// It has come to this.
    pub(super) fn finish(&self, made: Made<T>) {
        match made {
            Ok(made) => self.settle(Ok(made)),
            Err(Failed::ForGood(refused)) => self.settle(Err(refused)),
            Err(Failed::Now(refused)) => {
                let _ = self.failure.set(refused);
                self.failures.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// It has come to this for good.
    pub(super) fn settle(&self, made: Result<T, Refused>) {
        let _ = self.made.set(made);
    }
}

/// A lane that waits for it.
pub(super) struct Waiting<'a, T> {
    job: &'a Job<T>,
    /// Those before.
    failures: u32,
}

impl<'a, T> Waiting<'a, T> {
    /// What it has come to; `None` as long as that is to be waited for.
    pub(super) fn outcome(&self) -> Option<Result<&'a T, &'a Refused>> {
        let job = self.job;
        if let Some(made) = job.made.get() {
            return Some(made.as_ref());
        }
        if job.failures.load(Ordering::SeqCst) == self.failures {
            return None;
        }
        job.failure.get().map(Err)
    }
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.job.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madrpc_kernels::Place;

    fn refused(reason: Reason) -> Refused {
        let place = Place {
            file: "test.js".into(),
            line: 1,
            column: 1,
        };
        Refused {
            reason,
            place,
            what: "no descriptors".to_owned(),
            remedy: String::new(),
        }
    }

    fn reason<T>(waiting: &Waiting<'_, T>) -> Option<Reason> {
        let refused = waiting.outcome()?.err()?;
        Some(refused.reason)
    }

    #[test]
    fn what_the_system_refuses_is_tried_again_and_all_else_stays() {
        let job = Job::default();
        for _ in 0..2 {
            let mut is_asked = false;
            let waiting = job.wait(|| {
                is_asked = true;
                Ok(())
            });
            assert!(is_asked && waiting.outcome().is_none());
            assert!(job.take());
            // One that comes while it is being made is told of the same failure, and has put it in the queue for nobody.
            let other = job.wait(|| Ok(()));
            job.finish(Err(refused(Reason::System).into()));
            assert_eq!(reason(&waiting), Some(Reason::System));
            assert_eq!(reason(&other), Some(Reason::System));
            drop((waiting, other));
            assert!(!job.take());
        }
        let unasked = job.wait(|| Err(refused(Reason::System)));
        assert_eq!(reason(&unasked), Some(Reason::System));
        let waiting = job.wait(|| Ok(()));
        assert!(job.take());
        job.finish(Ok(7));
        assert_eq!(waiting.outcome(), Some(Ok(&7)));
        let late = job.wait(|| panic!("it is done"));
        assert_eq!(late.outcome(), Some(Ok(&7)));
        let bad = Job::<i32>::default();
        bad.finish(Err(refused(Reason::Type).into()));
        let waiting = bad.wait(|| panic!("it is done"));
        assert_eq!(reason(&waiting), Some(Reason::Type));
    }

    #[test]
    fn it_is_in_the_queue_once_and_made_for_somebody() {
        let job = Job::<i32>::default();
        let first = job.wait(|| Ok(()));
        let second = job.wait(|| panic!("it is in the queue"));
        drop(first);
        assert!(job.take());
        drop(second);
        let third = job.wait(|| Ok(()));
        drop(third);
        assert!(!job.take());
    }
}
