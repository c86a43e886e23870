//! The bell between shards, tried in every order that the memory model allows.
//!
//! Claim: nothing lies in a ring while its reader sleeps. Setup: the file `madrpc-shard/src/net/bell.rs` as the server
//! has it, on loom's atomics, which run each test once for every interleaving, and every value that a load may see. A
//! reader that would sleep for good is a deadlock, which loom reports.
#![cfg(test)]

#[path = "../../madrpc-shard/src/net/bell.rs"]
mod bell;

/// What [`bell`] stands on, as loom has it.
mod sync {
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{AtomicU8, Ordering};

    /// Stands for the kernel's, which keeps a signal until somebody waits.
    #[derive(Debug)]
    pub(crate) struct Event(loom::sync::Notify);

    impl Event {
        pub(crate) fn new() -> std::io::Result<Self> {
            Ok(Self(loom::sync::Notify::new()))
        }

        pub(crate) fn signal(&self) {
            self.0.notify();
        }

        /// Waiting has cleared it.
        pub(crate) fn clear(&self) {}

        pub(crate) fn wait(&self) {
            self.0.wait();
        }
    }
}

use bell::{Bell, Listener};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

/// Stands for a ring: how much has been put into it. Relaxed, so that the bell alone must make it seen.
type Ring = Arc<AtomicUsize>;

fn put(ring: &Ring, bell: &Arc<Bell>) {
    ring.fetch_add(1, Ordering::Relaxed);
    bell.ring();
}

/// Takes one from the first ring that has one.
fn take(rings: &[Ring]) -> Option<()> {
    for ring in rings {
        let filled = ring.load(Ordering::Relaxed);
        if filled > 0 {
            ring.fetch_sub(1, Ordering::Relaxed);
            return Some(());
        }
    }
    None
}

/// A thread for each ring puts so much into it, and the reader must get all.
fn arrives(puts: &'static [usize]) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let rings: Vec<Ring> = puts.iter().map(|_| Ring::default()).collect();
        let listener = Listener::new().unwrap();
        let writers: Vec<_> = rings
            .iter()
            .zip(puts)
            .map(|(ring, times)| {
                let (ring, bell) = (Arc::clone(ring), Arc::clone(listener.bell()));
                thread::spawn(move || {
                    for _ in 0..*times {
                        put(&ring, &bell);
                    }
                })
            })
            .collect();
        let mut missing: usize = puts.iter().sum();
        while missing > 0 {
            if listener.was_rung() {
                while take(&rings).is_some() {
                    missing -= 1;
                }
            } else {
                listener.sleep(|| {
                    listener.event().wait();
                    true
                });
            }
        }
        for writer in writers {
            writer.join().unwrap();
        }
    });
}

#[test]
fn one_writer() {
    arrives(&[3]);
}

#[test]
fn two_writers() {
    arrives(&[1, 1]);
}
