//! A shard: one thread, one core, one socket, and everything that its calls touch.
//!
//! Owns the loop. Each turn takes in what has come, lets the handler work on it for a bounded time, sends what there is
//! to say, and parks when nothing is left to do. Nothing here is shared with another thread; the control thread sends
//! messages, and gets messages.

use crate::askers::Askers;
use crate::beacon::Beacon;
use crate::catalog::FUNCTIONS;
use crate::control::ToControl;
use crate::endpoint::{Endpoint, SessionKey};
#[cfg(feature = "engine")]
use crate::engine::Script;
use crate::handler::{Handler, Incoming};
#[cfg(feature = "engine")]
use crate::node::Prepared;
use crate::server::RESET_PURPOSE;
use crate::spin::Spin;
use crate::steer::Steering;
use crate::transport::{accepting_config, dialing_config};
use crate::upstream::{Request, Sessions};
use crate::wake::too_many_wakes;
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender};
use futures_lite::{FutureExt, StreamExt};
use madrpc_core::error::{CallError, ErrorKind};
use madrpc_core::frame::{Bill, Frame, Header};
use madrpc_core::identity::Identity;
use madrpc_core::limits::{
    BODY_MAX_BYTES, FUNCTION_NAME_MAX_BYTES, TIMEOUT_MAX, UPSTREAM_IDLE_TIMEOUT,
};
use madrpc_core::session::{Event, Outbox};
use madrpc_core::stats::Snapshot;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// Names that begin so are answered by the process itself; scripts cannot register them.
const RESERVED_PREFIX: &str = "madrpc.";

/// The reserved function whose result is a [`Snapshot`].
pub const STATS: &str = "madrpc.stats";

/// How long a parked shard sleeps at the most.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// How long the last frames of a stopping shard may wait for their receivers.
const LINGER: Duration = Duration::from_millis(500);

/// What the control thread tells a shard.
pub(crate) enum ToShard {
    /// Say what you have counted: the rows from number `from` on, as many as you send at a time.
    Count { round: u64, from: usize },
    /// The result of [`STATS`], or why there is none.
    Answer(Caller, Result<Arc<[u8]>, CallError>),
    /// Load this script beside the one that runs, and say whether it can be used.
    #[cfg(feature = "engine")]
    Prepare(Script, Prepared),
    /// Go over to the script that is loaded.
    #[cfg(feature = "engine")]
    Adopt,
    /// Forget the script that is loaded.
    #[cfg(feature = "engine")]
    Discard,
    /// Open and accept sessions with this identity from now on.
    Identify(Identity),
    /// Take nothing new, and end when the calls under way have ended.
    Drain,
    /// End now.
    Stop,
}

/// Who called a reserved function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) shard: u16,
    pub(crate) session: SessionKey,
    /// The caller's number for the call.
    pub(crate) id: u64,
}

/// A shard's identity among those of its server.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    pub(crate) shard: u16,
    pub(crate) shards: u16,
    pub(crate) steering: Steering,
    /// `node` or `orchestrator`.
    pub(crate) role: &'static str,
    /// The server's name.
    pub(crate) name: String,
    pub(crate) started: Instant,
    /// Where it shows who has its core.
    pub(crate) beacon: Arc<Beacon>,
}

impl Seat {
    /// The sessions that it opens to another server, and where the first of them lands there: the shards of both servers
    /// share them evenly.
    pub(crate) fn sessions(&self) -> (Sessions, u16) {
        let callers = self.shards;
        (Sessions::PerShard { callers }, self.shard)
    }
}

/// One shard of a server.
pub(crate) struct Shard {
    seat: Seat,
    server: Endpoint,
    handler: Handler,
    inbox: UnboundedReceiver<ToShard>,
    control: Sender<ToControl>,
    /// Who waits for a snapshot.
    askers: Askers,
    spin: Spin,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    Draining,
    /// All is said; until then the network may take it.
    Leaving(Instant),
}

impl Shard {
    pub(crate) fn new(
        seat: Seat,
        server: Endpoint,
        handler: Handler,
        inbox: UnboundedReceiver<ToShard>,
        control: Sender<ToControl>,
        spin: Spin,
    ) -> Self {
        Self {
            seat,
            server,
            handler,
            inbox,
            control,
            askers: Askers::default(),
            spin,
            stage: Stage::Serving,
        }
    }

    /// Serves until told to stop.
    pub(crate) async fn run(mut self) {
        self.tell_functions();
        loop {
            let now = Instant::now();
            while let Ok(message) = self.inbox.try_recv() {
                self.on_message(message, now);
            }
            let mut received = self.server.receive(now);
            self.server.expire(now);
            self.frames(now);
            received += self.handler.turn(now, &mut self.server);
            #[cfg(feature = "engine")]
            if self.handler.may_hold_core() {
                // Replies must not wait for a slice to end: their callers would send nothing meanwhile.
                self.server.flush(now);
                self.handler.work(&mut self.server);
            }
            while let Some((session, _)) = self.server.ended() {
                self.handler.on_session_ended(session);
            }
            self.leave(now);
            self.server.flush(now);
            self.handler.flush(now);
            if self.has_left(now) {
                return;
            }
            let has_work = self.server.has_work() || self.handler.has_work();
            if received > 0 {
                self.spin.on_work(now);
            }
            if received > 0 || has_work || self.spin.looks_again(now) {
                glommio::executor().yield_if_needed().await;
            } else {
                self.park(now).await;
            }
        }
    }

    fn frames(&mut self, now: Instant) {
        let Self {
            seat,
            server,
            handler,
            control,
            askers,
            stage,
            ..
        } = self;
        server.frames(|session, outbox, event| match event {
            Event::Frame(Frame { header, body }) => match header {
                Header::Call {
                    id,
                    function,
                    timeout_us,
                    depth,
                } => {
                    let caller = Caller {
                        shard: seat.shard,
                        session,
                        id,
                    };
                    if let Err(error) = refuse(function, *stage) {
                        outbox.fail(id, Bill::default(), &error);
                    } else if function == STATS {
                        match askers.asks(session) {
                            // It fails only while the process ends.
                            Ok(()) => drop(control.send(ToControl::WantSnapshot(caller))),
                            Err(error) => outbox.fail(id, Bill::default(), &error),
                        }
                    } else {
                        let timeout = Duration::from_micros(timeout_us).min(TIMEOUT_MAX);
                        let call = Incoming {
                            session,
                            id,
                            request: Request {
                                function,
                                body,
                                deadline: now + timeout,
                                depth,
                            },
                            arrived: now,
                        };
                        if function == FUNCTIONS {
                            handler.on_inquiry(&call, seat, outbox);
                        } else {
                            handler.on_call(&call, outbox);
                        }
                    }
                }
                Header::Cancel { id } => handler.on_cancel(session, id),
                // A caller that takes no calls changes nothing for us; the others are a server's.
                Header::GoAway
                | Header::Reply { .. }
                | Header::Failure { .. }
                | Header::Welcome { .. } => {}
            },
            Event::TooLarge { header, bytes } => {
                if let Header::Call { id, .. } = header {
                    outbox.fail(id, Bill::default(), &too_large(bytes));
                }
            }
        });
    }

    fn on_message(&mut self, message: ToShard, now: Instant) {
        match message {
            ToShard::Count { round, from } => {
                let head = (from == 0).then(|| Box::new(self.head(now)));
                let counted = ToControl::Counted {
                    round,
                    shard: self.seat.shard,
                    head,
                    part: self.handler.counters().part(from),
                };
                // It fails only while the process ends.
                let _ = self.control.send(counted);
            }
            ToShard::Answer(caller, result) => {
                self.askers.answered(caller.session);
                if let Some(outbox) = self.server.outbox(caller.session) {
                    answer(outbox, caller.id, result);
                }
            }
            #[cfg(feature = "engine")]
            ToShard::Prepare(script, prepared) => self.handler.prepare(script, prepared),
            #[cfg(feature = "engine")]
            ToShard::Adopt => {
                self.handler.adopt(now, &mut self.server);
                self.tell_functions();
            }
            #[cfg(feature = "engine")]
            ToShard::Discard => self.handler.discard(),
            ToShard::Identify(identity) => self.identify(&identity),
            ToShard::Drain => {
                self.stage = Stage::Draining;
                self.server.stop_accepting();
                self.server
                    .each_outbox(|outbox| outbox.send(&Header::GoAway, &[]));
            }
            ToShard::Stop => self.stage = Stage::Leaving(now),
        }
    }

    fn identify(&mut self, identity: &Identity) {
        let made = accepting_config(identity).and_then(|accepting| {
            let dialing = dialing_config(identity, UPSTREAM_IDLE_TIMEOUT)?;
            let key = identity.derive_secret(RESET_PURPOSE);
            Ok((accepting, dialing, key.map_err(|error| error.to_string())?))
        });
        match made {
            Ok((accepting, dialing, reset_key)) => {
                self.server.set_config(accepting);
                self.server.set_reset_key(reset_key);
                if let Some(upstream) = self.handler.upstream_mut() {
                    upstream.set_config(dialing);
                }
            }
            // Tried once before; the TLS library must be out of memory.
            Err(why) => tracing::error!(
                "shard {} of {} keeps its certificate: {why}",
                self.seat.shard,
                self.seat.name
            ),
        }
    }

    /// Names the functions that the beacon shows by their numbers.
    fn tell_functions(&self) {
        let names = self.handler.function_names();
        let shard = self.seat.shard;
        // It fails only while the process ends.
        let _ = self.control.send(ToControl::Functions { shard, names });
    }

    /// Says goodbye once a draining shard has nothing left to do.
    fn leave(&mut self, now: Instant) {
        if self.stage == Stage::Draining && self.handler.is_idle() {
            self.stage = Stage::Leaving(now + LINGER);
        }
    }

    /// Ends the sessions once all is said, or has waited long enough.
    fn has_left(&mut self, now: Instant) -> bool {
        let Stage::Leaving(until) = self.stage else {
            return false;
        };
        if now < until && !self.server.is_quiet() {
            return false;
        }
        let reason = format!("{} {} is stopping", self.seat.role, self.seat.name);
        self.server.close_all(&reason);
        self.handler.close(&reason);
        self.server.flush(now);
        self.handler.flush(now);
        true
    }

    /// Its part of a snapshot, without the rows.
    fn head(&self, now: Instant) -> Snapshot {
        let mut snapshot = Snapshot {
            role: self.seat.role.to_owned(),
            name: self.seat.name.clone(),
            shards: self.seat.shards,
            silent_shards: 0,
            uptime_ms: now.duration_since(self.seat.started).as_millis() as u64,
            sessions: self.server.session_count() as u64,
            steering: self.seat.steering.name().to_owned(),
            upstreams: self.handler.links(),
            ..Snapshot::default()
        };
        self.server.count(&mut snapshot);
        snapshot
    }

    /// Sleeps until a datagram, a message or a timer.
    async fn park(&mut self, now: Instant) {
        let linger = match self.stage {
            Stage::Leaving(until) => Some(until),
            _ => None,
        };
        let timers = [self.server.next_timer(), self.handler.next_timer(), linger];
        let timer = timers.into_iter().flatten().min();
        let sleep = timer.map_or(LONGEST_SLEEP, |at| at.saturating_duration_since(now));
        let datagram = async {
            self.server.readable().await;
            None
        };
        let from_upstream = async {
            match self.handler.upstream() {
                Some(endpoint) => endpoint.readable().await,
                None => futures_lite::future::pending().await,
            }
            None
        };
        let slept = async {
            glommio::timer::sleep(sleep.min(LONGEST_SLEEP)).await;
            None
        };
        let too_often = async {
            too_many_wakes().await;
            None
        };
        let message = self.inbox.next();
        let message = too_often
            .or(message)
            .or(datagram)
            .or(from_upstream)
            .or(slept)
            .await;
        if let Some(message) = message {
            self.on_message(message, Instant::now());
        }
    }
}

/// Why a call cannot be taken, whoever would run it.
fn refuse(function: &str, stage: Stage) -> Result<(), CallError> {
    if stage != Stage::Serving {
        let error = "this process is stopping and takes no new calls";
        return Err(CallError::not_run(ErrorKind::Unavailable, error));
    }
    if function.len() > FUNCTION_NAME_MAX_BYTES {
        let error =
            format!("the name of the function is longer than {FUNCTION_NAME_MAX_BYTES} bytes");
        return Err(CallError::not_run(ErrorKind::NoSuchFunction, error));
    }
    if function.starts_with(RESERVED_PREFIX) && ![STATS, FUNCTIONS].contains(&function) {
        let error = format!(
            "no reserved function is called `{function}`; there are {FUNCTIONS} and {STATS}"
        );
        return Err(CallError::not_run(ErrorKind::NoSuchFunction, error));
    }
    Ok(())
}

fn too_large(bytes: usize) -> CallError {
    let error = format!("the arguments have {bytes} bytes, and at most {BODY_MAX_BYTES} are taken");
    CallError::not_run(ErrorKind::PayloadTooLarge, error)
}

fn answer(outbox: &mut Outbox, id: u64, result: Result<Arc<[u8]>, CallError>) {
    let bill = Bill::default();
    match result {
        Ok(body) => outbox.send(&Header::Reply { id, bill }, &body),
        Err(error) => outbox.fail(id, bill, &error),
    }
}

/// The control thread's end of a shard.
pub(crate) type Inbox = UnboundedSender<ToShard>;
