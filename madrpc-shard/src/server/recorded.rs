//! The spans of a server's shards, for whoever takes them.

use super::Server;
use super::control::ToControl;
use crate::net::traces::Span;
use rtrb::Consumer;
use std::sync::mpsc::Sender;

/// The spans of a server's shards.
pub(crate) struct Recorded {
    rings: Vec<Consumer<Span>>,
    /// Whose turn it is.
    next: usize,
    to_control: Sender<ToControl>,
}

impl Recorded {
    /// The next of them, of each shard in turn.
    pub(crate) fn next(&mut self) -> Option<Span> {
        let shards = self.rings.len();
        for _ in 0..shards {
            self.next = (self.next + 1) % shards;
            if let Ok(span) = self.rings[self.next].pop() {
                return Some(span);
            }
        }
        None
    }

    /// So many that were taken have come to nobody.
    pub(crate) fn drop_taken(&self, spans: u64) {
        // It fails only where the control thread has ended, and then nobody asks any more.
        let _ = self.to_control.send(ToControl::SpansDropped(spans));
    }
}

impl Server {
    /// The spans of the calls that are recorded, where any are, once.
    pub(crate) fn take_recorded(&mut self) -> Option<Recorded> {
        let running = self.running.as_mut()?;
        Some(Recorded {
            rings: running.spans.take()?,
            next: 0,
            to_control: running.to_control.clone(),
        })
    }
}
