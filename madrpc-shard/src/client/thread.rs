//! The client thread: one executor for all clients of the process, with a task for each pool of sessions.

use super::{ClientError, RawReply};
use crate::net::address::Addresses;
use crate::net::budget::Budget;
use crate::net::dial::{CallId, Keep, Outcome, Request, Sessions, Upstreams};
use crate::net::spin::{DEFAULT_SPIN, Spin};
use crate::net::transport::{TransportError, dialing_endpoint};
use crate::net::wake::too_many_wakes;
use crate::runtime::preflight;
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_channel::oneshot;
use futures_lite::{FutureExt, StreamExt};
use glommio::{LocalExecutorBuilder, Placement};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::Identity;
use madrpc_core::limits::{CLIENT_IDLE_TIMEOUT, ENDINGS_PER_TURN};
use madrpc_core::session::FrameBuffer;
use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// How long a pool without anything to do sleeps at the most.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// Commands taken in one turn, so that replies have theirs.
const COMMANDS_PER_TURN: usize = 1024;

/// Whose sessions a pool holds.
pub(super) struct Pool {
    pub(super) addresses: Addresses,
    pub(super) identity: Identity,
    pub(super) sessions: Sessions,
    pub(super) server_name: &'static str,
}

/// What a client tells its pool.
#[derive(Debug)]
pub(crate) enum Command {
    Call {
        /// Tells it from all others of this pool.
        number: u64,
        function: String,
        body: Vec<u8>,
        deadline: Instant,
        reply: ReplySender,
    },
    /// Nobody waits for the reply to the call of this number.
    Cancel(u64),
    /// End the sessions now, and say so.
    Close(oneshot::Sender<()>),
}

pub(crate) type ReplySender = oneshot::Sender<Result<RawReply, CallError>>;

/// A pool to be opened, and where to say what became of it.
struct Opening {
    pool: Pool,
    commands: UnboundedReceiver<Command>,
    opened: Sender<Result<(), TransportError>>,
}

/// Opens a pool on the client thread, which is started where it does not run yet.
pub(super) fn open(pool: Pool) -> Result<UnboundedSender<Command>, ClientError> {
    static THREAD: OnceLock<Result<UnboundedSender<Opening>, String>> = OnceLock::new();
    preflight::check(1)?;
    let thread = THREAD.get_or_init(start);
    let openings = thread
        .as_ref()
        .map_err(|why| ClientError::System(why.clone()))?;
    let (commands, receiver) = unbounded();
    let (opened, outcome) = channel();
    let opening = Opening {
        pool,
        commands: receiver,
        opened,
    };
    let ended = || ClientError::System("the client thread has ended".into());
    openings.unbounded_send(opening).map_err(|_| ended())?;
    outcome.recv().map_err(|_| ended())??;
    Ok(commands)
}

fn start() -> Result<UnboundedSender<Opening>, String> {
    let (openings, mut opening) = unbounded::<Opening>();
    let (started, outcome) = channel();
    let body = move || {
        // A shorter preemption timer would let pools take turns sooner, and loses wake-ups: of 0.5 ms, one run in 15 hung.
        let executor = match LocalExecutorBuilder::new(Placement::Unbound).make() {
            Ok(executor) => executor,
            Err(error) => {
                return drop(started.send(Err(format!("its executor cannot be started: {error}"))));
            }
        };
        let _ = started.send(Ok(()));
        executor.run(async {
            while let Some(opening) = opening.next().await {
                // One task for each pool, for as long as it lives; none for a call.
                glommio::spawn_local(serve(opening)).detach();
            }
        });
    };
    let thread = std::thread::Builder::new()
        .name("madrpc-client".into())
        .spawn(body);
    thread.map_err(|error| format!("its thread cannot be started: {error}"))?;
    outcome
        .recv()
        .unwrap_or_else(|_| Err("its thread has ended".into()))?;
    Ok(openings)
}

async fn serve(opening: Opening) {
    let Pool {
        addresses,
        identity,
        sessions,
        server_name,
    } = opening.pool;
    let now = Instant::now();
    let endpoint = match dialing_endpoint(
        &identity,
        addresses.all(),
        CLIENT_IDLE_TIMEOUT,
        &Budget::unlimited(),
        now,
    ) {
        Ok(endpoint) => endpoint,
        Err(why) => return drop(opening.opened.send(Err(why))),
    };
    let _ = opening.opened.send(Ok(()));
    // Clients with one session each spread over the server's shards by chance.
    let sessions = (sessions, fastrand::u16(..));
    let keep = Keep::WhileCalling;
    let upstreams = Upstreams::new(endpoint, &[addresses], sessions, server_name, keep, now);
    Driver::new(upstreams).run(opening.commands).await;
}

/// A caller of the pool who waits.
pub(crate) struct Waiting {
    number: u64,
    reply: ReplySender,
}

/// Drives a pool until its last client is gone.
pub(crate) struct Driver {
    upstreams: Upstreams<Waiting>,
    /// The calls under way, for those who give one up.
    sent: HashMap<u64, CallId>,
    buffer: FrameBuffer,
}

enum Woken {
    Command(Command),
    Clientless,
    Otherwise,
}

impl Driver {
    pub(crate) fn new(upstreams: Upstreams<Waiting>) -> Self {
        Self {
            upstreams,
            sent: HashMap::new(),
            buffer: FrameBuffer::default(),
        }
    }

    async fn run(mut self, mut commands: UnboundedReceiver<Command>) {
        let mut spin = Spin::new(DEFAULT_SPIN);
        loop {
            let now = Instant::now();
            let mut taken = 0;
            while taken < COMMANDS_PER_TURN
                && let Ok(command) = commands.try_recv()
            {
                self.on_command(command, now);
                taken += 1;
            }
            let received = self.upstreams.receive(now);
            self.settle_calls(now);
            self.upstreams.flush(now);
            if received > 0 || taken > 0 {
                spin.on_work(now);
                glommio::executor().yield_if_needed().await;
                continue;
            }
            let waits = self.upstreams.waiting() > 0;
            if self.upstreams.has_work() || waits && spin.looks_again(now) {
                glommio::executor().yield_if_needed().await;
                continue;
            }
            match self.park(&mut commands, now).await {
                Woken::Command(command) => self.on_command(command, Instant::now()),
                Woken::Clientless => break,
                Woken::Otherwise => {}
            }
        }
        self.say_goodbye(Instant::now());
    }

    fn say_goodbye(&mut self, now: Instant) {
        self.upstreams.close("the client is done");
        self.upstreams.flush(now);
    }

    /// Tells the callers what has become of their calls.
    fn settle_calls(&mut self, now: Instant) {
        let Self {
            upstreams,
            sent,
            buffer,
        } = self;
        while let Some((session, event)) = upstreams.next_frame(buffer, now) {
            if let Some((waiting, _, outcome)) = upstreams.on_frame(session, &event, now) {
                sent.remove(&waiting.number);
                settle(waiting.reply, outcome);
            }
        }
        for _ in 0..ENDINGS_PER_TURN {
            let Some((waiting, _, error)) = upstreams.next_lost(now) else {
                break;
            };
            sent.remove(&waiting.number);
            settle(waiting.reply, Outcome::Lost(error));
        }
    }

    async fn park(&self, commands: &mut UnboundedReceiver<Command>, now: Instant) -> Woken {
        let timer = self.upstreams.next_timer();
        let sleep = timer.map_or(LONGEST_SLEEP, |at| at.saturating_duration_since(now));
        let command = async {
            match commands.next().await {
                Some(command) => Woken::Command(command),
                None => Woken::Clientless,
            }
        };
        let datagram = async {
            self.upstreams.endpoint().readable().await;
            Woken::Otherwise
        };
        let slept = async {
            glommio::timer::sleep(sleep.min(LONGEST_SLEEP)).await;
            Woken::Otherwise
        };
        let too_often = async {
            too_many_wakes().await;
            Woken::Otherwise
        };
        too_often.or(command).or(datagram).or(slept).await
    }

    pub(crate) fn on_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Call {
                number,
                function,
                body,
                deadline,
                reply,
            } => {
                let request = Request {
                    function: &function,
                    body: &body,
                    deadline,
                    depth: 0,
                };
                let waiting = Waiting { number, reply };
                match self.upstreams.call(now, &request, waiting) {
                    Ok(call) => {
                        self.sent.insert(number, call);
                    }
                    // Nobody waits where it cannot be sent.
                    Err((waiting, error)) => drop(waiting.reply.send(Err(error))),
                }
            }
            Command::Cancel(number) => {
                if let Some(call) = self.sent.remove(&number) {
                    self.upstreams.cancel(call);
                }
            }
            Command::Close(closed) => {
                self.say_goodbye(now);
                // The client that asked may not wait for it.
                let _ = closed.send(());
            }
        }
    }
}

fn settle(reply: ReplySender, outcome: Outcome<'_>) {
    let result = match outcome {
        Outcome::Reply { bill, body } => Ok(RawReply {
            body: body.to_vec(),
            bill: bill.to_owned_bill(),
        }),
        Outcome::Failure { bill, body, .. } => Err(CallError {
            bill: Some(Box::new(bill.to_owned_bill())),
            ..CallError::from_body(body)
        }),
        Outcome::Lost(error) => Err(match error.kind {
            ErrorKind::DeadlineExceeded => CallError {
                message: format!("no reply by the deadline: {}", error.message),
                ..error
            },
            _ => error,
        }),
    };
    let _ = reply.send(result);
}
