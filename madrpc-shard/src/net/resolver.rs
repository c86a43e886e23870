//! Names resolved again, on a thread of its own: the system's resolver may wait for seconds.

use super::address::{AddressError, Addresses, resolve_target};
use super::log_limit::LogLimit;
use std::collections::HashSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;
use tracing::warn;

/// Resolves the names of servers, one after the other.
pub(crate) struct Resolver {
    resolve: fn(&str) -> Result<Addresses, AddressError>,
    /// Its thread, once there was something to ask; it ends when this does.
    thread: Option<(Sender<Question>, Receiver<Answer>)>,
    /// The targets that wait for an answer.
    asked: HashSet<usize>,
    /// Failures: many names may stay away for long, and each is asked for again and again.
    failures: LogLimit,
}

type Question = (usize, String);
type Answer = (usize, Result<Addresses, AddressError>);

impl Resolver {
    /// One that asks the system.
    pub(crate) fn new() -> Self {
        Self::with(resolve_target)
    }

    fn with(resolve: fn(&str) -> Result<Addresses, AddressError>) -> Self {
        Self {
            resolve,
            thread: None,
            asked: HashSet::new(),
            failures: LogLimit::default(),
        }
    }

    /// Asks for the addresses of this name of a target's, where that is not asked already; the answer comes from
    /// [`Resolver::next`] some time.
    pub(crate) fn ask(&mut self, target: usize, name: &str) {
        if !self.asked.insert(target) {
            return;
        }
        if self.thread.is_none() {
            match spawn(self.resolve) {
                Ok(thread) => self.thread = Some(thread),
                // It is asked for again with the next failure.
                Err(error) => {
                    self.asked.remove(&target);
                    let what = format!("{name} is not resolved again: no thread for it: {error}");
                    return self.tell(&what);
                }
            }
        }
        if let Some((questions, _)) = &self.thread {
            // It fails only where the thread has panicked, and it does not.
            let _ = questions.send((target, name.to_owned()));
        }
    }

    /// A target whose name has been resolved, and its addresses. Where it could not be resolved, the old ones have to do.
    pub(crate) fn next(&mut self) -> Option<(usize, Addresses)> {
        // This is asked for each call.
        if self.asked.is_empty() {
            return None;
        }
        while let Ok((target, answer)) = self.thread.as_ref()?.1.try_recv() {
            self.asked.remove(&target);
            match answer {
                Ok(addresses) => return Some((target, addresses)),
                Err(error) => self.tell(&error.to_string()),
            }
        }
        None
    }

    fn tell(&mut self, failure: &str) {
        if let Some(count) = self.failures.tell(Instant::now()) {
            warn!("{failure} ({count} such failures since the last such line)");
        }
    }
}

fn spawn(
    resolve: fn(&str) -> Result<Addresses, AddressError>,
) -> std::io::Result<(Sender<Question>, Receiver<Answer>)> {
    let (questions, to_resolve) = channel::<Question>();
    let (resolved, answers) = channel();
    let thread = std::thread::Builder::new().name("madrpc-names".into());
    thread.spawn(move || {
        for (target, name) in to_resolve {
            // It fails only where nobody waits any more; then this thread ends too.
            let _ = resolved.send((target, resolve(&name)));
        }
    })?;
    Ok((questions, answers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicU16, Ordering};
    use std::time::Duration;

    fn next(resolver: &mut Resolver) -> Option<(usize, Addresses)> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if let Some(found) = resolver.next() {
                return Some(found);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }

    #[test]
    fn a_name_is_asked_for_once_at_a_time_and_again_later() {
        static ASKED: AtomicU16 = AtomicU16::new(0);
        let mut resolver = Resolver::with(|name| {
            let port = 1 + ASKED.fetch_add(1, Ordering::Relaxed);
            match name {
                "good:1" => Ok(SocketAddr::from(([127, 0, 0, 1], port)).into()),
                bad => resolve_target(&bad[..1]),
            }
        });
        assert!(resolver.next().is_none());
        resolver.ask(7, "bad:1");
        resolver.ask(3, "good:1");
        resolver.ask(3, "good:1");
        let (target, addresses) = next(&mut resolver).unwrap();
        assert_eq!((target, addresses.first().port()), (3, 2));
        assert!(resolver.next().is_none());
        resolver.ask(3, "good:1");
        let (_, addresses) = next(&mut resolver).unwrap();
        assert_eq!(addresses.first().port(), 3);
    }
}
