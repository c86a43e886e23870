//! The client thread: drives all pools of the process, one turn after the other.
//!
//! A pool that has something to do has a turn in each round. One that has nothing sleeps until its socket can be read, one
//! of its clients sends a command, or its timer is over; the thread sleeps where all pools do. Nothing here grows with the
//! pools that sleep.

use super::ClientError;
use super::pool::{Command, Next, Pool, Target};
use super::sockets::{Sockets, Waker};
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::numbers::later;
use slab::Slab;
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long pools that sleep are not looked at while others have something to do: a look costs a system call.
const LOOK_INTERVAL: Duration = Duration::from_micros(100);

/// The longest that a pool sleeps when nothing comes.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// What the thread is told.
enum Message {
    Open(Box<Opening>),
    /// There are commands for the pool at this place, or its last client is gone.
    Wake(usize),
}

/// A pool to be opened, and where to say what became of it.
struct Opening {
    target: Target,
    commands: UnboundedReceiver<Command>,
    announced: Arc<AtomicBool>,
    opened: Sender<Result<usize, ClientError>>,
}

/// The way to the thread.
#[derive(Debug, Clone)]
struct ToThread {
    messages: UnboundedSender<Message>,
    waker: Waker,
}

impl ToThread {
    fn send(&self, message: Message) -> Result<(), ThreadEnded> {
        self.messages
            .unbounded_send(message)
            .map_err(|_| ThreadEnded)?;
        self.waker.wake();
        Ok(())
    }
}

/// The client thread has ended, which only a panic can do.
#[derive(Debug, thiserror::Error)]
#[error("the client thread has ended")]
pub(super) struct ThreadEnded;

impl From<ThreadEnded> for ClientError {
    fn from(ended: ThreadEnded) -> Self {
        Self::System(ended.to_string())
    }
}

impl From<ThreadEnded> for CallError {
    fn from(ended: ThreadEnded) -> Self {
        Self::may_have_run(ErrorKind::Internal, ended.to_string())
    }
}

/// The way to a pool, which ends with the last clone of this.
#[derive(Debug, Clone)]
pub(super) struct ToPool(Arc<Line>);

#[derive(Debug)]
struct Line {
    commands: UnboundedSender<Command>,
    /// The thread was told that there are commands, and looks at them until it finds none.
    announced: Arc<AtomicBool>,
    pool: usize,
    thread: ToThread,
}

impl ToPool {
    pub(super) fn send(&self, command: Command) -> Result<(), ThreadEnded> {
        let Self(line) = self;
        line.commands
            .unbounded_send(command)
            .map_err(|_| ThreadEnded)?;
        line.announce();
        Ok(())
    }
}

impl Line {
    /// Lets the thread look at the commands: call it after they have changed.
    fn announce(&self) {
        if !self.announced.swap(true, Ordering::AcqRel) {
            // It fails only where the thread has ended.
            let _ = self.thread.send(Message::Wake(self.pool));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.commands.close_channel();
        self.announce();
    }
}

/// Starts the client thread, from one that stands back for nobody: a thread has the priority of the one that started it.
///
/// # Errors
/// Where the system gives none.
#[cfg(feature = "gateway")]
pub(crate) fn start_early() -> Result<(), ClientError> {
    started().map(drop)
}

fn started() -> Result<&'static ToThread, ClientError> {
    thread_of_this_process()
        .map_err(|why| ClientError::System(format!("its thread cannot be started: {why}")))
}

/// Opens a pool on the client thread, which is started where it does not run yet.
pub(super) fn open(target: Target) -> Result<ToPool, ClientError> {
    let thread = started()?;
    let (to_pool, commands) = unbounded();
    let announced = Arc::new(AtomicBool::new(false));
    let (opened, outcome) = channel();
    let opening = Opening {
        target,
        commands,
        announced: Arc::clone(&announced),
        opened,
    };
    thread.send(Message::Open(Box::new(opening)))?;
    let pool = outcome.recv().map_err(|_| ThreadEnded)??;
    Ok(ToPool(Arc::new(Line {
        commands: to_pool,
        announced,
        pool,
        thread: thread.clone(),
    })))
}

/// The thread of a process, and of the process that it was forked into: a thread stays behind in a fork.
struct Started {
    process: u32,
    thread: Result<ToThread, String>,
    in_fork: Box<OnceLock<Started>>,
}

fn thread_of_this_process() -> Result<&'static ToThread, &'static String> {
    static FIRST: OnceLock<Started> = OnceLock::new();
    let mut started = &FIRST;
    loop {
        let known = started.get_or_init(|| Started {
            process: std::process::id(),
            thread: start().map_err(|error| error.to_string()),
            in_fork: Box::default(),
        });
        if known.process == std::process::id() {
            return known.thread.as_ref();
        }
        started = &known.in_fork;
    }
}

fn start() -> std::io::Result<ToThread> {
    let (to_thread, messages) = unbounded();
    let sockets = Sockets::new()?;
    let waker = sockets.waker();
    let thread = std::thread::Builder::new().name("madrpc-client".into());
    thread.spawn(move || Pools::new(messages, sockets).run())?;
    Ok(ToThread {
        messages: to_thread,
        waker,
    })
}

struct Member {
    pool: Pool,
    commands: UnboundedReceiver<Command>,
    announced: Arc<AtomicBool>,
    /// Until when it sleeps, if it does.
    sleeps_until: Option<Instant>,
}

/// All pools.
struct Pools {
    messages: UnboundedReceiver<Message>,
    /// Those of the pools, by their places.
    sockets: Sockets,
    members: Slab<Member>,
    /// Those that have a turn in the next round.
    awake: VecDeque<usize>,
    /// When those that sleep have to wake up.
    timers: BTreeSet<(Instant, usize)>,
    /// When to look at those that sleep.
    look_at: Instant,
}

impl Pools {
    fn new(messages: UnboundedReceiver<Message>, sockets: Sockets) -> Self {
        Self {
            messages,
            sockets,
            members: Slab::new(),
            awake: VecDeque::new(),
            timers: BTreeSet::new(),
            look_at: Instant::now(),
        }
    }

    /// For as long as the process lives.
    fn run(mut self) {
        loop {
            while let Ok(message) = self.messages.try_recv() {
                match message {
                    Message::Open(opening) => self.open(*opening),
                    Message::Wake(place) => self.wake(place),
                }
            }
            for _ in 0..self.awake.len() {
                if let Some(place) = self.awake.pop_front() {
                    self.turn(place);
                }
            }
            self.sleep();
        }
    }

    fn open(&mut self, opening: Opening) {
        let place = self.members.vacant_key();
        let pool = Pool::open(opening.target, Instant::now()).and_then(|pool| {
            // SAFETY: a pool that was added is dropped in `turn`, where its socket is removed before.
            let added = unsafe { self.sockets.add(pool.socket(), place) };
            added.map_err(|error| ClientError::System(error.to_string()))?;
            Ok(pool)
        });
        let opened = pool.map(|pool| {
            self.awake.push_back(place);
            self.members.insert(Member {
                pool,
                commands: opening.commands,
                announced: opening.announced,
                sleeps_until: None,
            })
        });
        // Who asked waits for it.
        let _ = opening.opened.send(opened);
    }

    /// The pool at this place, which may be another one by now, has a turn in the next round.
    fn wake(&mut self, place: usize) {
        if let Some(member) = self.members.get_mut(place)
            && let Some(until) = member.sleeps_until.take()
        {
            self.timers.remove(&(until, place));
            self.awake.push_back(place);
        }
    }

    fn turn(&mut self, place: usize) {
        let Some(member) = self.members.get_mut(place) else {
            return;
        };
        let now = Instant::now();
        match member.pool.turn(&mut member.commands, now) {
            Next::Turn => self.awake.push_back(place),
            // Commands that came since it looked were not announced; those that come from here on are.
            Next::Sleep if member.announced.swap(false, Ordering::AcqRel) => {
                self.awake.push_back(place);
            }
            Next::Sleep => {
                let timer = member.pool.next_timer();
                let until = timer.unwrap_or(later(now, LONGEST_SLEEP));
                member.sleeps_until = Some(until);
                self.timers.insert((until, place));
            }
            Next::Nothing => {
                let member = self.members.remove(place);
                self.sockets.remove(member.pool.socket());
            }
        }
    }

    /// Wakes the pools that have something to do; sleeps until there is one.
    fn sleep(&mut self) {
        let now = Instant::now();
        let mut time = Duration::ZERO;
        if self.awake.is_empty() {
            let first = self.timers.first();
            time = first.map_or(LONGEST_SLEEP, |(at, _)| at.saturating_duration_since(now));
        } else if self.timers.is_empty() || now < self.look_at {
            return;
        }
        self.sockets.wait(time);
        while let Some(place) = self.sockets.next_readable() {
            self.wake(place);
        }
        let now = Instant::now();
        while let Some(&(at, place)) = self.timers.first()
            && at <= now
        {
            self.wake(place);
        }
        self.look_at = later(now, LOOK_INTERVAL);
    }
}
