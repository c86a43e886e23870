//! What a script says by `console`, on its way to the log.
//!
//! Each line has the function's name and the call's number, or the script's name while it loads. A lane may say so many
//! lines a second, all lanes of a shard together not many more, and no line is long: a script must not fill a disk.

use super::super::exchange::Exchange;
use crate::net::traces::TraceId;
use crate::runtime::shortened::shortened;
use madrpc_core::numbers::later;
use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{Level, enabled, event};

/// A line's length; what is beyond is cut off.
const LINE_MAX_BYTES: usize = 4096;

/// What is looked at of a line; console.js gives no more.
pub(super) const SHOWN_MAX: usize = 2 * LINE_MAX_BYTES;

/// How many lines a lane may say in each [`WINDOW`], and all lanes of a shard, of which there may be thousands; how many more there
/// were is said after it.
const LINES_MAX: u32 = 200;
const SHARD_LINES_MAX: u32 = 500;
const WINDOW: Duration = Duration::from_secs(1);

thread_local! {
    /// What the lanes of this thread have said together: a shard is a thread.
    static SAID: Said = Said::new();
}

/// What speaks in a lane, and how much it has said.
pub(in super::super) struct ConsoleLog {
    exchange: Rc<Exchange>,
    script: Arc<str>,
    functions: OnceCell<Vec<String>>,
    said: Said,
}

/// The lines of one window.
struct Said {
    window_end: Cell<Instant>,
    lines: Cell<u32>,
}

impl Said {
    fn new() -> Self {
        Self {
            window_end: Cell::new(later(Instant::now(), WINDOW)),
            lines: Cell::new(0),
        }
    }

    /// Notes a line; whether it is one of so many. Says before it how many of the window before were not.
    fn takes(&self, max: u32, by: &str, script: &str) -> bool {
        let now = Instant::now();
        if now >= self.window_end.get() {
            let left_out = self.lines.get().saturating_sub(max);
            if left_out > 0 {
                event!(target: "script", Level::WARN, script, "{left_out} lines more than {max} in a second were left out{by}");
            }
            self.lines.set(0);
            self.window_end.set(later(now, WINDOW));
        }
        self.lines.set(self.lines.get().saturating_add(1));
        self.lines.get() <= max
    }
}

/// An event's level must be known when the program is built.
macro_rules! event_at {
    ($level:expr, $($rest:tt)*) => {
        match $level {
            0 => event!(target: "script", Level::ERROR, $($rest)*),
            1 => event!(target: "script", Level::WARN, $($rest)*),
            2 => event!(target: "script", Level::INFO, $($rest)*),
            3 => event!(target: "script", Level::DEBUG, $($rest)*),
            _ => event!(target: "script", Level::TRACE, $($rest)*),
        }
    };
}

impl ConsoleLog {
    pub(super) fn new(exchange: Rc<Exchange>, script: Arc<str>) -> Self {
        Self {
            exchange,
            script,
            functions: OnceCell::new(),
            said: Said::new(),
        }
    }

    /// The script is loaded: from here on it is one of these functions that speaks.
    pub(in super::super) fn know_functions(&self, names: Vec<String>) {
        let _ = self.functions.set(names);
    }

    /// Whether anybody listens at this level; it spares the making of the line.
    pub(super) fn is_logged(level: u8) -> bool {
        match level {
            0 => enabled!(target: "script", Level::ERROR),
            1 => enabled!(target: "script", Level::WARN),
            2 => enabled!(target: "script", Level::INFO),
            3 => enabled!(target: "script", Level::DEBUG),
            _ => enabled!(target: "script", Level::TRACE),
        }
    }

    pub(super) fn say(&self, level: u8, line: &str) {
        let script = &*self.script;
        if !self.said.takes(LINES_MAX, "", script)
            || !SAID.with(|said| said.takes(SHARD_LINES_MAX, ", of all lanes together", script))
        {
            return;
        }
        let line = shortened(line, LINE_MAX_BYTES);
        let function = self
            .functions
            .get()
            .and_then(|names| names.get(self.exchange.function.get()));
        match function {
            Some(function) => {
                let trace = self.exchange.trace.get();
                event_at!(
                    level,
                    call = self.exchange.call.get(),
                    function = function.as_str(),
                    trace = trace.map(|trace| display(TraceId(trace.trace))),
                    "{line}"
                );
            }
            None => event_at!(level, script = &*self.script, "{line}"),
        }
    }
}
