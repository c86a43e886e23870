//! Signals: those that end a command in order, and those that a server is given while it starts, serves and drains.
//!
//! A signal that nobody catches ends the process by itself, so a server catches them before all else. The first SIGTERM
//! or SIGINT ends it in order, at once where it does not serve yet; the second one ends it at once. SIGHUP makes it read
//! anew what it was given, as soon as it serves.

use crate::exit::{Failure, Reason};
use crate::output::say_last;
use crate::sandbox;
use crate::service_manager;
use futures_channel::mpsc::{UnboundedReceiver, unbounded};
use futures_lite::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A second signal within this time is the first once more: timeout(1) sends its signal to a process and to its group, and a
/// supervisor passes on the Ctrl-C that the terminal has sent to all.
const SAME_WISH: Duration = Duration::from_millis(200);

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A signal to end.
    Stop(i32),
    /// Certificates and script are to be read anew.
    Reload,
    /// What was read anew is there.
    Loaded,
}

/// Signals, which no longer end the process by themselves, and what else a server waits for.
pub(crate) struct Events {
    sender: Sender<Event>,
    events: Receiver<Event>,
    pending: VecDeque<Event>,
    /// Whether there is something that has to end in order.
    serves: Arc<AtomicBool>,
    interrupts: Option<Interrupts>,
}

/// SIGINT for something that is done at the prompt: that is to end, and not the process.
pub(crate) struct Interrupts {
    awaited: Arc<AtomicBool>,
    came: UnboundedReceiver<()>,
}

/// While this lives, the next SIGINT is for whoever has it.
pub(crate) struct Interruptible<'a>(&'a mut Interrupts);

impl Interrupts {
    pub(crate) fn begin(&mut self) -> Interruptible<'_> {
        // One may have come when it was not asked for any more.
        while self.came.try_recv().is_ok() {}
        self.awaited.store(true, Ordering::SeqCst);
        Interruptible(self)
    }
}

impl Interruptible<'_> {
    /// Waits for it.
    pub(crate) async fn interrupted(&mut self) {
        let Interrupts { came, .. } = self.0;
        // Its other end lives as long as the process.
        let _ = came.next().await;
    }
}

impl Drop for Interruptible<'_> {
    fn drop(&mut self) {
        self.0.awaited.store(false, Ordering::SeqCst);
    }
}

impl Events {
    /// Catches SIGTERM, SIGINT and SIGHUP for a server that is about to be started.
    ///
    /// # Errors
    /// Where the system does not let them be caught.
    pub(crate) fn of_server() -> Result<Self, Failure> {
        Self::catch(&[SIGTERM, SIGINT, SIGHUP], false)
    }

    /// Catches SIGTERM and SIGINT for a command that has something to say at its end.
    ///
    /// # Errors
    /// Where the system does not let them be caught.
    pub(crate) fn of_command() -> Result<Self, Failure> {
        Self::catch(&[SIGTERM, SIGINT], true)
    }

    fn catch(caught: &[i32], serves: bool) -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::new(Reason::Other, format!("signals: {error}"));
        let mut signals = Signals::new(caught).map_err(failed)?;
        let (sender, events) = channel();
        let serves = Arc::new(AtomicBool::new(serves));
        let (teller, is_serving) = (sender.clone(), Arc::clone(&serves));
        let (interrupt, came) = unbounded();
        let awaited = Arc::new(AtomicBool::new(false));
        let is_awaited = Arc::clone(&awaited);
        let forward = move || {
            // Started before the process gives up what it can do without.
            let _ = sandbox::give_up_tcp();
            let mut first = None::<Instant>;
            for signal in signals.forever() {
                let event = match signal {
                    SIGINT if is_awaited.swap(false, Ordering::SeqCst) => {
                        let _ = interrupt.unbounded_send(());
                        continue;
                    }
                    SIGHUP if first.is_some() => continue,
                    SIGHUP => Event::Reload,
                    _ if first.is_some_and(|first| first.elapsed() < SAME_WISH) => continue,
                    _ if first.is_some() => {
                        say_last(&format!("{}: ended at once", name(signal)), []);
                        // The exit code of a shell for a process that it killed.
                        signal_hook::low_level::exit(128 + signal);
                    }
                    _ if !is_serving.load(Ordering::SeqCst) => {
                        let told = format!("{}: ended before it was ready", name(signal));
                        service_manager::stopping(&told, Duration::ZERO);
                        say_last(&told, []);
                        signal_hook::low_level::exit(0);
                    }
                    _ => Event::Stop(signal),
                };
                if matches!(event, Event::Stop(_)) {
                    first.get_or_insert_with(Instant::now);
                }
                // Once nobody listens, the process is about to end.
                let _ = teller.send(event);
            }
        };
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(forward)
            .map_err(failed)?;
        Ok(Self {
            sender,
            events,
            pending: VecDeque::new(),
            serves,
            interrupts: Some(Interrupts { awaited, came }),
        })
    }

    /// For whoever wants SIGINT now and then; nobody else does.
    pub(crate) fn interrupts(&mut self) -> Option<Interrupts> {
        self.interrupts.take()
    }

    /// From now on there are calls that a signal to end leaves their time.
    pub(crate) fn serves(&self) {
        self.serves.store(true, Ordering::SeqCst);
    }

    /// Tells of an event from another thread.
    pub(crate) fn teller(&self, event: Event) -> impl FnMut() + Send + use<> {
        let sender = self.sender.clone();
        move || {
            let _ = sender.send(event);
        }
    }

    /// Waits for the next event. A signal to end goes before all else that has happened.
    pub(crate) fn next(&mut self) -> Event {
        if self.pending.is_empty() {
            self.pending.extend(self.events.recv());
        }
        self.pending.extend(self.events.try_iter());
        let is_stop = |event: &Event| matches!(event, Event::Stop(_));
        let stop = self.pending.iter().copied().find(is_stop);
        // This end has a sender too, so there is always one.
        let next = stop.or_else(|| self.pending.pop_front());
        next.unwrap_or(Event::Stop(SIGTERM))
    }

    /// Waits for a signal to end.
    pub(crate) fn wait_for_stop(&mut self) -> i32 {
        loop {
            if let Event::Stop(signal) = self.next() {
                return signal;
            }
        }
    }
}

/// Signals that end the process as they would by themselves, once it has taken its leave; so it does where none comes.
pub(crate) struct Leaving {
    /// A signal has come.
    has_begun: Arc<AtomicBool>,
    /// The end has come without one.
    is_over: Arc<AtomicBool>,
    sender: Sender<Event>,
    thread: JoinHandle<()>,
}

impl Leaving {
    /// Has the first signal take leave, or the end; a second signal does not wait for that.
    ///
    /// # Errors
    /// Where the system does not let signals be caught.
    pub(crate) fn by(take_leave: impl FnOnce() + Send + 'static) -> Result<Self, Failure> {
        let mut events = Events::of_command()?;
        let sender = events.sender.clone();
        let [has_begun, is_over] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let (begin, over) = (Arc::clone(&has_begun), Arc::clone(&is_over));
        let thread = std::thread::Builder::new()
            .name("leave".into())
            .spawn(move || {
                let signal = events.wait_for_stop();
                if over.load(Ordering::SeqCst) {
                    return take_leave();
                }
                begin.store(true, Ordering::SeqCst);
                take_leave();
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            })
            .map_err(|error| Failure::new(Reason::Other, format!("a thread: {error}")))?;
        Ok(Self {
            has_begun,
            is_over,
            sender,
            thread,
        })
    }

    /// Takes leave now. Where a signal has come, the process ends in it.
    pub(crate) fn end(self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = self.sender.send(Event::Stop(SIGTERM));
        // A panic there has been told.
        let _ = self.thread.join();
    }

    /// Where a signal has come, waits for the end: what came of things meanwhile is nobody's concern.
    pub(crate) fn wait_if_begun(&self) {
        while self.has_begun.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }
}

/// The name of a signal.
pub(crate) fn name(signal: i32) -> &'static str {
    signal_hook::low_level::signal_name(signal).unwrap_or("signal")
}
