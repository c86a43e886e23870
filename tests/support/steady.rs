//! Calls at a steady rate, each when it is due whatever became of those before, and when each was over.

use futures_lite::future::{block_on, poll_once};
use futures_util::StreamExt;
use madrpc_core::call::CallError;
use madrpc_core::identity::{Authority, Role};
use madrpc_core::value::Value;
use madrpc_shard::client::{Client, ClientConfig, encode_args};
use std::ops::Range;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How late a call is sent at the most where the machine keeps up.
const LATE: Duration = Duration::from_millis(100);

/// How long a call may take: none of them ends for want of time on a slow machine, how long it took is what a test looks at.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A call that was due so long after the begin.
pub struct Call {
    pub due: Duration,
    /// After when it was due.
    pub sent: Duration,
    pub took: Duration,
    pub error: Option<CallError>,
}

/// Calls that are being made.
pub struct Steady {
    pub begun: Instant,
    thread: JoinHandle<Vec<Call>>,
}

/// What became of them.
pub struct Calls(pub Vec<Call>);

impl Steady {
    /// Calls of a function at a server, with a certificate of the authority in `tls`.
    pub fn start(tls: &Path, server: &str, function: &str, rate: u32, time: Duration) -> Self {
        let identity = Authority::load_or_create(tls)
            .unwrap()
            .issue(Role::Client)
            .unwrap();
        let config = ClientConfig::with_identity(server, identity);
        let function = function.to_owned();
        let begun = Instant::now();
        let run = move || run(&Client::new(&config).unwrap(), &function, rate, time, begun);
        Self {
            begun,
            thread: std::thread::spawn(run),
        }
    }

    /// Waits for the last of them.
    pub fn end(self) -> Calls {
        Calls(self.thread.join().unwrap())
    }
}

fn run(client: &Client, function: &str, rate: u32, time: Duration, begun: Instant) -> Vec<Call> {
    let args = encode_args(&Value::Integer(1)).unwrap();
    let mut calls = client.calls();
    let (mut all, mut ended) = (Vec::new(), 0);
    let count = (f64::from(rate) * time.as_secs_f64()) as u32;
    while ended < count {
        let now = begun.elapsed();
        while all.len() < count as usize {
            let due = Duration::from_secs(1) * all.len() as u32 / rate;
            if due > now {
                break;
            }
            let call = client.prepare(function).timeout(TIMEOUT);
            let begun = calls.begin(all.len() as u64, &call, args.clone());
            ended += u32::from(begun.is_err());
            let sent = now.saturating_sub(due);
            all.push(Call {
                due,
                sent,
                took: Duration::ZERO,
                error: begun.err(),
            });
        }
        while let Some(Some(over)) = block_on(poll_once(calls.next())) {
            let call: &mut Call = &mut all[over.tag as usize];
            call.took = begun.elapsed().saturating_sub(call.due);
            call.error = over.result.err();
            ended += 1;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    all
}

impl Calls {
    /// Those that were due in this time.
    pub fn within(&self, time: Range<Duration>) -> impl Iterator<Item = &Call> {
        self.0.iter().filter(move |call| time.contains(&call.due))
    }

    /// The time that so many percent of those took at the most that were due then.
    pub fn percentile(&self, percent: usize, time: Range<Duration>) -> Duration {
        let mut took: Vec<Duration> = self.within(time).map(|call| call.took).collect();
        took.sort_unstable();
        took[(took.len() * percent / 100).min(took.len() - 1)]
    }

    /// How many of those that were due then took longer than this, and of how many.
    pub fn over(&self, bound: Duration, time: Range<Duration>) -> (usize, usize) {
        let slow = self
            .within(time.clone())
            .filter(|call| call.took > bound)
            .count();
        (slow, self.within(time).count())
    }

    /// Whether this machine could send them when they were due, but for one of a hundred.
    pub fn were_offered(&self) -> bool {
        self.0.iter().filter(|call| call.sent > LATE).count() * 100 < self.0.len()
    }

    /// The first error.
    pub fn error(&self) -> Option<&CallError> {
        self.0.iter().find_map(|call| call.error.as_ref())
    }
}
