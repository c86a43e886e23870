//! Spans of calls, on their way to who collects them: OTLP over HTTP.
//!
//! A thread of its own takes them out of the rings of shards or clients once a second, and sends them in batches. It runs after the shards
//! where all want the core, and nothing waits for it: a receiver that is away, slow or broken costs the spans that do not fit into
//! the rings meanwhile, which are counted, and a line in the log when it goes and when it is back.
//!
//! A client's process:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use madrpc_shard::client::{Client, ClientConfig};
//! use madrpc_shard::traces::Exporter;
//!
//! let (exporter, recorder) = Exporter::of_clients("http://127.0.0.1:4318".parse()?, "billing", 0.01)?;
//! let client = Client::new(&ClientConfig {
//!     recorder: Some(recorder),
//!     ..ClientConfig::new("127.0.0.1:8080")?
//! })?;
//! let sum: f64 = client.call_blocking("add", &(1, 2))?;
//! client.close_blocking();
//! exporter.close()?;
//! # Ok(())
//! # }
//! ```

mod message;
mod receiver;
mod sending;

pub use receiver::{NoReceiver, Receiver};

use crate::client::CallRecorder;
use crate::net::traces::{RecordedCalls, Span};
use crate::runtime::priority;
use crate::server::{Recorded, Server};
use message::From;
use std::io;
use std::thread::JoinHandle;
use tokio::sync::watch;

/// How much lower than the shards' the priority of the thread is (nice(2)).
const NICENESS: i32 = 10;

/// Where spans come from.
trait Source: Send + 'static {
    /// The next of them.
    fn next(&mut self) -> Option<Span>;

    /// So many that were taken have come to nobody.
    fn lose(&mut self, spans: u64);

    /// How many more than that were lost, where nobody else counts them.
    fn dropped(&mut self) -> u64;
}

impl Source for Recorded {
    fn next(&mut self) -> Option<Span> {
        Self::next(self)
    }

    fn lose(&mut self, spans: u64) {
        self.drop_taken(spans);
    }

    fn dropped(&mut self) -> u64 {
        0
    }
}

impl Source for RecordedCalls {
    fn next(&mut self) -> Option<Span> {
        Self::next(self)
    }

    fn lose(&mut self, _spans: u64) {}

    fn dropped(&mut self) -> u64 {
        self.take_dropped()
    }
}

/// Spans that have not come to their receiver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("spans have not come to their receiver ({spans} of them): {why}")]
pub struct Lost {
    /// How many.
    pub spans: u64,
    /// Why, the last time.
    pub why: String,
}

/// What sends spans. Dropping it ends it at once.
#[derive(Debug)]
pub struct Exporter {
    end: watch::Sender<bool>,
    thread: Option<JoinHandle<Result<(), Lost>>>,
}

impl Exporter {
    /// Sends the spans that a server records from now on ([`ServerConfig::record`](crate::server::ServerConfig::record)), those of calls
    /// by its HTTP among them; of one that records none there is nothing to do.
    ///
    /// # Errors
    /// Where the system gives no thread, or too few descriptors.
    pub fn start(receiver: Receiver, role: &str, server: &mut Server) -> io::Result<Self> {
        let from = From::new(&format!("madrpc-{role}"), server.name());
        match server.take_recorded() {
            Some(recorded) => Self::spawn(recorded, receiver, from, NICENESS),
            None => Ok(Self {
                end: watch::Sender::default(),
                thread: None,
            }),
        }
    }

    /// Sends the spans of the calls of clients that have this recorder
    /// ([`ClientConfig::recorder`](crate::client::ClientConfig::recorder)), as spans of this service (`service.name`). Recorded are the
    /// calls whose trace context says so, and of those without one this share, from 0 to 1; with any, what it leaves servers do not record
    /// either.
    ///
    /// # Errors
    /// As [`Exporter::start`].
    pub fn of_clients(
        receiver: Receiver,
        service: &str,
        share: f64,
    ) -> io::Result<(Self, CallRecorder)> {
        let (recorder, recorded) = CallRecorder::new(share);
        let instance = format!("{:032x}", fastrand::u128(..));
        let exporter = Self::spawn(recorded, receiver, From::new(service, &instance), 0)?;
        Ok((exporter, recorder))
    }

    fn spawn(
        source: impl Source,
        receiver: Receiver,
        from: From,
        niceness: i32,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let (end, ended) = watch::channel(false);
        let run = move || {
            if niceness > 0 {
                priority::lower(niceness);
            }
            let sent = runtime.block_on(sending::send(source, &receiver, &from, ended));
            runtime.shutdown_background();
            sent
        };
        let thread = std::thread::Builder::new().name("traces".into());
        Ok(Self {
            end,
            thread: Some(thread.spawn(run)?),
        })
    }

    /// Sends what is left, for a second at the most, and ends. Close clients before: calls that are under way have no spans yet.
    ///
    /// # Errors
    /// How many have not come to the receiver since the start, and why; of a server's not those that found no room on their shard.
    pub fn close(mut self) -> Result<(), Lost> {
        self.end.send_replace(true);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(sent)) => sent,
            // A panic there has been told, and ends the process where panics do.
            Some(Err(_)) | None => Ok(()),
        }
    }
}
