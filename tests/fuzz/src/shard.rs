//! What callers do with a node's shard: call, cancel, leave, come again, while its script is replaced.

use crate::fleet::{CLIENT, NODE};
use arbitrary::{Result, Unstructured};
use madrpc_abuse::peer::client::{Came, Peer};
use madrpc_core::call::ErrorKind;
use madrpc_core::call::frame::{self, Header};
use madrpc_core::limits::{BODY_STREAMS_MAX, SESSION_COST_BYTES};
use madrpc_core::session::set_transport;
use madrpc_core::value::Value;
use madrpc_shard::engine::Script;
use madrpc_shard::internals::NodeShard;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

const SCRIPT: &str = include_str!("functions.js");

const FUNCTIONS: [&str; 12] = [
    "quick", "sleeps", "spins", "never", "throws", "child", "children", "waits", "large", "says",
    "deep", "missing",
];

const LANES: usize = 2;
const CALLERS: usize = 2;

/// What a node needs at the least.
const MEMORY_MAX_BYTES: usize = 256 << 20;

/// The longest time of a call; a body that never comes whole has it too.
const TIMEOUT_MAX_MS: u64 = 20;

/// After its last call's time, so long until a shard has nothing left. A machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a caller lets its server know that it is there, and hears again that its session has ended.
const PING: Duration = Duration::from_secs(1);

thread_local! {
    /// Kept between inputs, as nothing is to be left of one.
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

/// Each call of a caller that stays has one answer, whatever else is done; then the shard holds nothing.
pub fn run(input: &[u8]) {
    STAGE.with_borrow_mut(|stage| {
        let stage = stage.get_or_insert_with(Stage::new);
        let mut input = Unstructured::new(input);
        while !input.is_empty() {
            if stage.act(&mut input).is_err() {
                break;
            }
        }
        stage.settle();
    });
}

struct Stage {
    node: NodeShard,
    config: quiche::Config,
    callers: [Caller; CALLERS],
    last_id: u64,
}

struct Caller {
    peer: Peer,
    /// Its calls under way, and whether their arguments can be read.
    calls: HashMap<u64, bool>,
    /// Bodies that have begun and do not end; a session may have few, and a call beyond them is not even sent.
    half_bodies: u64,
    /// It has broken the protocol, and its session is to end.
    is_doomed: bool,
    pinged: Instant,
}

impl Stage {
    fn new() -> Self {
        let script = Script::new("functions.js", SCRIPT);
        let mut node = NodeShard::new(&NODE, &script, LANES, MEMORY_MAX_BYTES).unwrap();
        let mut config = CLIENT.client_config().unwrap();
        set_transport(&mut config, Duration::from_secs(30)).unwrap();
        let callers = std::array::from_fn(|_| Caller::new(&mut node, &mut config));
        Self {
            node,
            config,
            callers,
            last_id: 0,
        }
    }

    fn act(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let caller = input.int_in_range(0..=CALLERS - 1)?;
        match input.int_in_range(0..=11)? {
            0..=2 => {
                let function = input.choose(&FUNCTIONS)?;
                let body = argument(input.int_in_range(0..=TIMEOUT_MAX_MS)?);
                let timeout = input.int_in_range(0..=TIMEOUT_MAX_MS)?;
                self.call(caller, function, &body, timeout, true);
            }
            3 => {
                let length = input.int_in_range(0..=63)?;
                let body = input.bytes(length.min(input.len()))?;
                // A call without arguments has no bytes.
                let is_read = body.is_empty() || Value::decode(body).is_ok();
                self.call(caller, "echo", body, TIMEOUT_MAX_MS, is_read);
            }
            4 => {
                let id = self.last_id.saturating_sub(input.int_in_range(0..=7)?);
                self.callers[caller].peer.cancel(id);
            }
            5 => self.call_twice(caller),
            6 => self.leave(caller),
            7 => {
                for _ in 0..input.int_in_range(0..=7)? {
                    self.turn();
                }
            }
            8 => {
                let until = Instant::now() + Duration::from_micros(input.int_in_range(0..=4000)?);
                while Instant::now() < until {
                    self.turn();
                }
            }
            9 => {
                let source = match input.int_in_range(0..=2)? {
                    0 => SCRIPT.to_owned(),
                    1 => format!("{SCRIPT}\nmadrpc.register('missing', () => 'is there');"),
                    _ => format!("{SCRIPT}\nthrow new Error('no');"),
                };
                let _ = self.node.prepare(&Script::new("functions.js", &source));
            }
            10 => self.node.adopt(),
            _ => {
                let timeout = input.int_in_range(0..=TIMEOUT_MAX_MS)?;
                if self.callers[caller].half_bodies < BODY_STREAMS_MAX {
                    self.half_body(caller, timeout);
                }
            }
        }
        Ok(())
    }

    fn call(&mut self, caller: usize, function: &str, body: &[u8], timeout: u64, is_read: bool) {
        self.last_id += 1;
        let Caller { peer, calls, .. } = &mut self.callers[caller];
        calls.insert(self.last_id, is_read);
        peer.call(self.last_id, function, body, Duration::from_millis(timeout));
    }

    /// Two calls of one number at the same time: the session ends.
    fn call_twice(&mut self, caller: usize) {
        let timeout = 2 * PATIENCE.as_millis() as u64;
        let body = argument(timeout);
        self.call(caller, "sleeps", &body, timeout, true);
        let Caller {
            peer, is_doomed, ..
        } = &mut self.callers[caller];
        *is_doomed = true;
        peer.call(self.last_id, "sleeps", &body, 2 * PATIENCE);
    }

    /// A call whose arguments begin to come.
    fn half_body(&mut self, caller: usize, timeout: u64) {
        self.last_id += 1;
        let header = Header::Call {
            id: self.last_id,
            function: "echo",
            timeout_us: timeout * 1000,
            depth: 0,
            account: None,
        };
        let mut bytes = Vec::new();
        frame::write(&mut bytes, &header, &[0; 100_000]);
        bytes.truncate(90_000);
        let Caller {
            peer,
            calls,
            half_bodies,
            ..
        } = &mut self.callers[caller];
        calls.insert(self.last_id, true);
        *half_bodies += 1;
        peer.send_body(Rc::from(bytes), false);
    }

    /// The caller goes without waiting for anything, and another one comes.
    fn leave(&mut self, caller: usize) {
        let next = Caller::new(&mut self.node, &mut self.config);
        let Caller { peer, .. } = std::mem::replace(&mut self.callers[caller], next);
        peer.close();
    }

    fn turn(&mut self) -> bool {
        let has_work = self.node.turn(Instant::now());
        for caller in &mut self.callers {
            caller.turn();
        }
        has_work
    }

    /// Waits for all answers; then nothing is left.
    fn settle(&mut self) {
        for caller in 0..CALLERS {
            let begun = Instant::now();
            while !self.callers[caller].has_all() {
                self.turn();
                let Caller {
                    calls, is_doomed, ..
                } = &self.callers[caller];
                let left: Vec<_> = calls.keys().collect();
                assert!(
                    begun.elapsed() < PATIENCE,
                    "doomed: {is_doomed}, calls without an answer: {left:?}"
                );
            }
            self.callers[caller].peer.reset_unended();
            self.callers[caller].half_bodies = 0;
            if self.callers[caller].is_doomed {
                self.leave(caller);
            }
        }
        let begun = Instant::now();
        let held_max = CALLERS * SESSION_COST_BYTES;
        while self.turn() || !self.node.is_idle() || self.node.held_bytes() > held_max {
            let held = self.node.held_bytes();
            let is_idle = self.node.is_idle();
            let head = self.node.head(Instant::now());
            assert!(
                begun.elapsed() < PATIENCE,
                "idle: {is_idle}, {held} bytes are held by {} sessions",
                head.sessions
            );
        }
    }
}

impl Caller {
    fn new(node: &mut NodeShard, config: &mut quiche::Config) -> Self {
        let mut peer = Peer::begin(node.address(), config).unwrap();
        let begun = Instant::now();
        while !peer.quic.is_established() {
            assert!(
                begun.elapsed() < PATIENCE && !peer.is_over(),
                "{}",
                peer.said()
            );
            peer.turn(Duration::ZERO).unwrap();
            node.turn(Instant::now());
        }
        // It opens the channel, on which its server could not write otherwise.
        peer.send_channel(&frame::NOTHING);
        Self {
            peer,
            calls: HashMap::new(),
            half_bodies: 0,
            is_doomed: false,
            pinged: begun,
        }
    }

    fn turn(&mut self) {
        if self.pinged.elapsed() > PING {
            self.pinged = Instant::now();
            // It fails only where the connection is closed.
            let _ = self.peer.quic.send_ack_eliciting();
        }
        self.peer.turn(Duration::ZERO).unwrap();
        for (id, came) in self.peer.read() {
            let is_read = self.calls.remove(&id);
            if self.is_doomed {
                continue;
            }
            let is_read =
                is_read.unwrap_or_else(|| panic!("call {id} has two answers, or none was asked"));
            if !is_read {
                let refused = [
                    ErrorKind::BadArguments,
                    ErrorKind::Cancelled,
                    ErrorKind::DeadlineExceeded,
                    // Before anybody looks at them, where it would be over too late.
                    ErrorKind::Overloaded,
                ];
                let is_refused = matches!(&came, Came::Failure(kind) if refused.contains(kind));
                assert!(is_refused, "arguments that cannot be read: {came:?}");
            }
        }
        assert!(
            self.is_doomed || !self.peer.is_over(),
            "{}",
            self.peer.said()
        );
    }

    fn has_all(&self) -> bool {
        match self.is_doomed {
            true => self.peer.is_over(),
            false => self.calls.is_empty(),
        }
    }
}

fn argument(number: u64) -> Vec<u8> {
    let mut body = Vec::new();
    let value = Value::from(number as i64);
    value.encode(&mut body, usize::MAX).unwrap();
    body
}
