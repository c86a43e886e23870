//! The thread that tells kernels that time has passed, where no timer does: lanes that are not stopped by force.
//!
//! It sleeps while no lane with kernels runs, and ends never: there is one in the process, and only where it is needed. Where the
//! system gives no thread, the next lane that needs it asks again.

use super::flag::Flag;
use super::handler::Stoppable;
use crate::runtime::helpers;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

/// How often it tells them: half of the usual slice.
const TICK: Duration = Duration::from_micros(250);

/// Ticks without a lane that runs, after which it sleeps.
const TICKS_AWAKE: u32 = 100;

/// Lets a lane run that may have kernels and is not stopped by force.
pub(in super::super) fn run_ticking<R>(lane: &Stoppable, resume: impl FnOnce() -> R) -> R {
    let Some(flag) = lane.flag.get() else {
        return resume();
    };
    flag.clear();
    flag.set_runs(true);
    if let Some(ticker) = TICKER.get()
        && ticker.sleeps.load(Ordering::SeqCst)
    {
        ticker.thread.unpark();
    }
    let resumed = resume();
    flag.set_runs(false);
    resumed
}

/// Lets the ticker know of this thread's flag. Says whether there is one: the system may give no thread.
pub(in super::super) fn tick_here() -> bool {
    thread_local! {
        static IS_KNOWN: Cell<bool> = const { Cell::new(false) };
    }
    if TICKER.get().is_none() {
        let Some(started) = Ticker::start() else {
            return false;
        };
        // Another shard was first: this thread ends.
        if let Err(Ticker { flags, thread, .. }) = TICKER.set(started) {
            drop(flags);
            thread.unpark();
        }
    }
    let Some(ticker) = TICKER.get() else {
        return false;
    };
    if !IS_KNOWN.replace(true) {
        // It ends with the process alone.
        let _ = ticker.flags.send(Arc::downgrade(&Flag::of_thread()));
        ticker.thread.unpark();
    }
    true
}

static TICKER: OnceLock<Ticker> = OnceLock::new();

struct Ticker {
    flags: Sender<Weak<Flag>>,
    thread: Thread,
    /// Whether it sleeps, or is about to.
    sleeps: Arc<AtomicBool>,
}

impl Ticker {
    fn start() -> Option<Self> {
        let (flags, news) = channel();
        let ticker = thread::Builder::new().name("kernel-ticks".into());
        let sleeps = Arc::default();
        let its = Arc::clone(&sleeps);
        let started = helpers::start(ticker, move || tick(&news, &its))?;
        Some(Self {
            flags,
            thread: started.thread().clone(),
            sleeps,
        })
    }
}

fn tick(news: &Receiver<Weak<Flag>>, sleeps: &AtomicBool) {
    let mut flags: Vec<Weak<Flag>> = Vec::new();
    let mut idle_ticks = 0;
    loop {
        loop {
            match news.try_recv() {
                Ok(flag) => flags.push(flag),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        let mut are_any = false;
        flags.retain(|flag| {
            let Some(flag) = flag.upgrade() else {
                return false;
            };
            if flag.runs() {
                are_any = true;
                flag.set();
            }
            true
        });
        idle_ticks = if are_any { 0 } else { idle_ticks + 1 };
        if idle_ticks <= TICKS_AWAKE {
            thread::sleep(TICK);
            continue;
        }
        sleeps.store(true, Ordering::SeqCst);
        // One that began to run just before has not seen that there is somebody to wake.
        let runs = |flag: &Weak<Flag>| flag.upgrade().is_some_and(|flag| flag.runs());
        if !flags.iter().any(runs) {
            thread::park();
        }
        sleeps.store(false, Ordering::SeqCst);
        idle_ticks = 0;
    }
}
