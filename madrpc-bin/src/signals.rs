//! Signals: the first ends a server in order, the second at once.

use crate::exit::{Failure, Reason};
use crate::output::say;
use humantime::format_duration;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::time::Duration;

/// SIGTERM and SIGINT, which no longer end the process by themselves.
pub(crate) struct Stop(Signals);

impl Stop {
    /// Catches the signals from now on.
    pub(crate) fn catch() -> Result<Self, Failure> {
        let signals = Signals::new([SIGTERM, SIGINT]);
        let signals =
            signals.map_err(|error| Failure::new(Reason::Other, format!("signals: {error}")))?;
        Ok(Self(signals))
    }

    /// Waits for a signal.
    pub(crate) fn wait(&mut self) -> i32 {
        self.0.forever().next().unwrap_or(SIGTERM)
    }

    /// Waits for a signal, then runs `drain` with the time it has; it says whether all calls ended.
    ///
    /// A second signal ends the process here, with the exit code of a shell for a process that the signal killed.
    pub(crate) fn drain(
        mut self,
        timeout: Duration,
        drain: impl FnOnce(Duration) -> bool,
    ) -> Result<(), Failure> {
        let signal = self.wait();
        let span = format_duration(timeout);
        say(&format!(
            "{}: taking no new calls; those under way have {span} to end, a second signal ends them at once",
            name(signal)
        ));
        let second = move || {
            let signal = self.wait();
            say(&format!("{}: ended at once", name(signal)));
            signal_hook::low_level::exit(128 + signal);
        };
        let watcher = std::thread::Builder::new()
            .name("signals".into())
            .spawn(second);
        watcher.map_err(|error| Failure::new(Reason::Other, format!("signals: {error}")))?;
        if drain(timeout) {
            say("all calls have ended");
        } else {
            say(&format!("calls that took longer than {span} were cut off"));
        }
        Ok(())
    }
}

fn name(signal: i32) -> &'static str {
    signal_hook::low_level::signal_name(signal).unwrap_or("signal")
}
