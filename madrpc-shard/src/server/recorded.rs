//! The spans of a server's shards, and of its own clients, for whoever takes them.

use super::Server;
use super::control::ToControl;
use crate::net::traces::{RecordedCalls, Span};
use rtrb::Consumer;
use std::sync::mpsc::Sender;

/// The spans of a server's shards, and of its own clients.
pub(crate) struct Recorded {
    rings: Vec<Consumer<Span>>,
    calls: RecordedCalls,
    /// Whose turn it is.
    next: usize,
    to_control: Sender<ToControl>,
}

impl Recorded {
    /// The next of them, of each shard in turn and of the clients.
    pub(crate) fn next(&mut self) -> Option<Span> {
        let sources = self.rings.len() + 1;
        for _ in 0..sources {
            self.next = (self.next + 1) % sources;
            let span = match self.rings.get_mut(self.next) {
                Some(ring) => ring.pop().ok(),
                None => self.next_of_calls(),
            };
            if span.is_some() {
                return span;
            }
        }
        None
    }

    fn next_of_calls(&mut self) -> Option<Span> {
        let dropped = self.calls.take_dropped();
        if dropped > 0 {
            self.drop_taken(dropped);
        }
        self.calls.next()
    }

    /// So many have come to nobody.
    pub(crate) fn drop_taken(&self, spans: u64) {
        // It fails only where the control thread has ended, and then nobody asks any more.
        let _ = self.to_control.send(ToControl::SpansDropped(spans));
    }
}

impl Server {
    /// The spans of the calls that are recorded, where any are, once.
    pub(crate) fn take_recorded(&mut self) -> Option<Recorded> {
        let running = self.running.as_mut()?;
        let (rings, calls) = running.spans.take()?;
        Some(Recorded {
            rings,
            calls,
            next: 0,
            to_control: running.to_control.clone(),
        })
    }
}
