//! Spans of calls, on their way to who collects them: OTLP over HTTP.
//!
//! A thread of its own takes them out of the shards' rings once a second, and sends them in batches. It runs after the shards
//! where all want the core, and nothing waits for it: a receiver that is away, slow or broken costs the spans that do not fit into
//! the rings meanwhile, which are counted, and a line in the log when it goes and when it is back.

mod message;
mod receiver;
mod sending;

pub use receiver::{NoReceiver, Receiver};

use crate::runtime::priority;
use crate::server::Server;
use std::io;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// How much lower than the shards' the priority of the thread is (nice(2)).
const NICENESS: i32 = 10;

/// What sends the spans of a server. Dropping it ends it at once.
#[derive(Debug)]
pub struct Exporter {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Sends the spans that a server records from now on ([`ServerConfig::record`](crate::server::ServerConfig::record)); of one
    /// that records none there is nothing to do.
    ///
    /// # Errors
    /// Where the system gives no thread, or too few descriptors.
    pub fn start(receiver: Receiver, role: &str, server: &mut Server) -> io::Result<Self> {
        let from = message::From::new(role, server.name());
        let Some(recorded) = server.take_recorded() else {
            return Ok(Self {
                end: None,
                thread: None,
            });
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let (end, ended) = oneshot::channel();
        let run = move || {
            priority::lower(NICENESS);
            runtime.block_on(sending::send(recorded, &receiver, &from, ended));
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new()
            .name("traces".into())
            .spawn(run)?;
        Ok(Self {
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// Sends what is left, for a second at the most, and ends.
    pub fn close(mut self) {
        if let Some(end) = self.end.take() {
            // It has ended already where this fails.
            let _ = end.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic there has been told, and ends the process where panics do.
            let _ = thread.join();
        }
    }
}
