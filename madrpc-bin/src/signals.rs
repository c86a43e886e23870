//! Signals, and what else a server in the foreground waits for.
//!
//! The first SIGTERM or SIGINT ends a server in order, the second at once; SIGHUP makes it read anew what it was given.

use crate::exit::{Failure, Reason};
use crate::notify;
use crate::output::{say, say_last};
use humantime::format_duration;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// What has happened.
pub(crate) enum Event {
    /// A signal to end.
    Stop(i32),
    /// Certificates and script are to be read anew.
    Reload,
}

/// Signals, which no longer end the process by themselves.
pub(crate) struct Events {
    sender: Sender<Event>,
    events: Receiver<Event>,
}

impl Events {
    /// Catches SIGTERM and SIGINT from now on, and SIGHUP where `reloads` says that there is something to read anew.
    ///
    /// A second SIGTERM or SIGINT ends the process, with the exit code of a shell for a process that it killed.
    pub(crate) fn catch(reloads: bool) -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::new(Reason::Other, format!("signals: {error}"));
        let mut caught = vec![SIGTERM, SIGINT];
        caught.extend(reloads.then_some(SIGHUP));
        let mut signals = Signals::new(caught).map_err(failed)?;
        let (sender, events) = channel();
        let teller = sender.clone();
        let forward = move || {
            let mut is_stopping = false;
            for signal in signals.forever() {
                let event = match signal {
                    SIGHUP => Event::Reload,
                    _ if is_stopping => {
                        say_last(&format!("{}: ended at once", name(signal)), []);
                        signal_hook::low_level::exit(128 + signal);
                    }
                    _ => Event::Stop(signal),
                };
                is_stopping |= matches!(event, Event::Stop(_));
                // Once nobody listens, the server is about to end.
                let _ = teller.send(event);
            }
        };
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(forward)
            .map_err(failed)?;
        Ok(Self { sender, events })
    }

    /// Says that the script is to be loaded anew.
    pub(crate) fn reloader(&self) -> impl FnMut() + Send + use<> {
        let sender = self.sender.clone();
        move || {
            let _ = sender.send(Event::Reload);
        }
    }

    /// Waits for a signal to end and gives it; meanwhile `reload` runs whenever that is asked for.
    pub(crate) fn wait_for_stop(&self, mut reload: impl FnMut()) -> i32 {
        loop {
            match self.events.recv() {
                Ok(Event::Reload) => reload(),
                Ok(Event::Stop(signal)) => return signal,
                Err(_) => return SIGTERM,
            }
        }
    }

    /// Waits for a signal to end, then runs `drain` with the time it has; it says whether all calls ended. Meanwhile
    /// `reload` runs whenever that is asked for. Both get `server`.
    pub(crate) fn serve<S>(
        &self,
        mut server: S,
        timeout: Duration,
        mut reload: impl FnMut(&mut S),
        drain: impl FnOnce(S, Duration) -> bool,
    ) {
        let signal = self.wait_for_stop(|| reload(&mut server));
        let span = format_duration(timeout);
        let status = format!("taking no new calls; those under way have {span} to end");
        say(&format!(
            "{}: {status}, a second signal ends them at once",
            name(signal)
        ));
        notify::stopping(&status, timeout);
        if drain(server, timeout) {
            say("all calls have ended");
        } else {
            say(&format!("calls that took longer than {span} were cut off"));
        }
    }
}

fn name(signal: i32) -> &'static str {
    signal_hook::low_level::signal_name(signal).unwrap_or("signal")
}
