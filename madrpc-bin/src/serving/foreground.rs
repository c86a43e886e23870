//! A server in the foreground, from when it is ready until a signal: it goes over to a script, or to certificates, that have
//! changed, and in the end it drains.
//!
//! What is new is read on a thread of its own, because a script may take as long as it likes to load, and a signal to end
//! must not wait for it.

use crate::exit::{Failure, Reason};
use crate::output::{say, say_with};
use crate::service_manager;
use crate::signals::{Event, Events, name};
use humantime::format_duration;
use madrpc_shard::server::{ReloadRequest, Server};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// What a server reads anew.
pub(crate) trait Reload {
    /// Whose it is.
    type Server;
    /// What is read.
    type New: Send + 'static;

    /// What reads it, and finds out whether it can be used.
    fn loader(&self) -> impl FnOnce() -> Result<Self::New, Failure> + Send + 'static;

    /// Goes over to it, and says in words what it is.
    fn adopt(&mut self, server: &mut Self::Server, new: Self::New) -> Result<String, Failure>;

    /// It could not be read or used: all goes on as before.
    fn failed(&mut self) {}
}

/// Operators who ask for a reload over the network, and wait for what comes of it.
pub(crate) fn asked_from_afar(server: &Server, events: &Events) -> Receiver<ReloadRequest> {
    let (sender, requests) = channel();
    let mut asked = events.teller(Event::Reload);
    server.reload_by(move |request| {
        // Nobody listens where the server has begun to end.
        if sender.send(request).is_ok() {
            asked();
        }
    });
    requests
}

/// Serves until a signal to end, then runs `drain` with the time that calls under way have; it says whether all of them
/// ended.
pub(crate) fn serve<R: Reload>(
    mut server: R::Server,
    mut events: Events,
    mut reload: R,
    requests: &Receiver<ReloadRequest>,
    timeout: Duration,
    drain: impl FnOnce(R::Server, Duration) -> bool,
) {
    let mut loading = None;
    let mut waiting: Vec<ReloadRequest> = Vec::new();
    let mut again = false;
    let signal = loop {
        match events.next() {
            Event::Stop(signal) => break signal,
            // What has changed since it was read is read once more.
            Event::Reload if loading.is_some() => again = true,
            Event::Reload => {
                waiting.extend(requests.try_iter());
                loading = Some(load(&reload, &events));
            }
            Event::Loaded => {
                let new = loading.take().and_then(|new| new.recv().ok());
                let new = new.unwrap_or_else(|| Err(Failure::new(Reason::Other, "it has ended")));
                let outcome = new.and_then(|new| reload.adopt(&mut server, new));
                if outcome.is_err() {
                    reload.failed();
                }
                let told = outcome.as_ref().map(Clone::clone);
                let told = told.map_err(|failure| failure.reason().to_owned());
                for request in waiting.drain(..) {
                    request.answer(told.clone());
                }
                tell(outcome);
                if std::mem::take(&mut again) {
                    waiting.extend(requests.try_iter());
                    loading = Some(load(&reload, &events));
                }
            }
        }
    };
    let span = format_duration(timeout);
    let status = format!("taking no new calls; those under way have {span} to end");
    say(&format!(
        "{}: {status}, a second signal ends them at once",
        name(signal)
    ));
    service_manager::stopping(&status, timeout);
    if drain(server, timeout) {
        say("all calls have ended");
    } else {
        say(&format!("calls that took longer than {span} were cut off"));
    }
}

/// Begins to read anew; an event tells when the outcome is there.
fn load<R: Reload>(reload: &R, events: &Events) -> Receiver<Result<R::New, Failure>> {
    service_manager::reloading();
    let (sender, outcome) = channel();
    let (loader, failed) = (reload.loader(), sender.clone());
    let mut loaded = events.teller(Event::Loaded);
    let run = move || {
        // Nobody listens where the server has begun to end.
        let _ = sender.send(loader());
        loaded();
    };
    let thread = std::thread::Builder::new().name("reload".into()).spawn(run);
    if let Err(error) = thread {
        let _ = failed.send(Err(Failure::new(Reason::Other, error)));
        events.teller(Event::Loaded)();
    }
    outcome
}

/// Says what came of it, to people and to the service manager.
fn tell(outcome: Result<String, Failure>) {
    let status = match outcome {
        Ok(new) => {
            let told = format!("reloaded: {new}");
            say(&told);
            told
        }
        Err(failure) => {
            let told = format!("not reloaded, all goes on as before: {}", failure.reason());
            say_with(&told, failure.below());
            told
        }
    };
    service_manager::ready(&status);
}
