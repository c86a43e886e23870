//! Somebody who takes as much of the caller's core as the attacker did, and harms nobody.

use crate::error::AbuseError;
use madrpc_core::numbers::seconds;
use nix::time::{ClockId, clock_gettime};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often it wakes up, as an attacker that keeps a rate does.
const STEP: Duration = Duration::from_micros(500);

/// What an attacker took of its core.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Effort {
    /// Of one core.
    pub(crate) share: f64,
    pub(crate) datagrams_per_s: f64,
    pub(crate) datagram_bytes: usize,
}

/// The time that this thread has had on a core.
pub(crate) fn thread_time() -> Result<Duration, AbuseError> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// Takes that until it is told to stop.
pub(crate) fn stand_in(effort: Effort, stop: &AtomicBool) -> Result<(), AbuseError> {
    // Nobody reads it: what is sent there is dropped by the kernel.
    let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(sink.local_addr()?)?;
    let datagram = vec![0; effort.datagram_bytes.min(60_000)];
    let (started, begun) = (Instant::now(), thread_time()?);
    let mut sent = 0.0;
    while !stop.load(Ordering::Relaxed) {
        let elapsed = started.elapsed().as_secs_f64();
        let used = || -> Result<bool, AbuseError> {
            let used = (thread_time()? - begun).as_secs_f64();
            Ok(used >= effort.share * elapsed)
        };
        while sent < effort.datagrams_per_s * elapsed && !used()? {
            let _ = socket.send(&datagram);
            sent += 1.0;
        }
        while !used()? {
            std::hint::spin_loop();
        }
        std::thread::sleep(seconds(STEP.as_secs_f64() * (1.0 - effort.share.min(1.0))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_about_what_it_is_told() {
        let effort = Effort {
            share: 0.2,
            datagrams_per_s: 1_000.0,
            datagram_bytes: 100,
        };
        let stop = AtomicBool::new(false);
        let used = std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let begun = thread_time().unwrap();
                stand_in(effort, &stop).unwrap();
                thread_time().unwrap() - begun
            });
            std::thread::sleep(Duration::from_millis(300));
            stop.store(true, Ordering::Relaxed);
            worker.join().unwrap()
        });
        // It stops in time, and a busy machine gives it less.
        assert!(used <= Duration::from_millis(200), "{used:?}");
    }
}
