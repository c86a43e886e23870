//! The control thread of a server: what is to be done beside the calls.
//!
//! It lays the shards' parts of a snapshot together, and watches whether a core is stuck: a shard that runs a built-in
//! of JavaScript which asks nobody can neither answer nor serve, and only from outside can anybody tell.

use super::heartbeat::{Heartbeat, Pulse, Silent};
use super::shard::{Caller, Inbox, ToShard};
use crate::runtime::beacon::{Beacon, Hold, Holder};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::limits::BODY_MAX_BYTES;
use madrpc_core::stats::Snapshot;
use madrpc_core::value::to_value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracing::warn;

/// How long a shard may take to answer for a snapshot; one that does not is stuck in something that cannot be
/// interrupted.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_millis(500);

/// How often it is looked who has the cores.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a core may be held in one piece before that is reported. A slice is half a millisecond.
const STALL: Duration = Duration::from_millis(500);

/// A wait that only a message ends.
const FOR_LONG: Duration = Duration::from_secs(60 * 60);

/// What a shard tells the control thread.
pub(crate) enum ToControl {
    /// A caller wants a snapshot of all shards.
    WantSnapshot(Caller),
    /// The numbers by which the shard's beacon calls its functions.
    Functions {
        shard: u16,
        names: HashMap<usize, String>,
    },
    /// Somebody wants to hear, again and again, whether the shards answer.
    Watch(Heartbeat),
    /// The server is to be shut down for good: the control thread ends.
    Close,
}

/// Starts the control thread of a server with this name, whose shards have these beacons.
///
/// # Errors
/// Where the system gives no thread.
pub(crate) fn spawn(
    name: &str,
    from_shards: Receiver<ToControl>,
    inboxes: Vec<Inbox>,
    beacons: Vec<Arc<Beacon>>,
) -> std::io::Result<JoinHandle<()>> {
    let watched = beacons.into_iter().map(Watched::new).collect();
    let control = Control {
        name: name.to_owned(),
        inboxes,
        watched,
        stalls: BTreeMap::new(),
        heartbeat: None,
    };
    std::thread::Builder::new()
        .name("control".into())
        .spawn(move || control.run(&from_shards))
}

struct Control {
    name: String,
    inboxes: Vec<Inbox>,
    /// The shards' cores, in their order.
    watched: Vec<Watched>,
    /// How often a core was stuck, by who held it.
    stalls: BTreeMap<String, u64>,
    /// Who wants to hear from the shards, and when next.
    heartbeat: Option<(Heartbeat, Instant)>,
}

/// A core that is looked at.
struct Watched {
    beacon: Arc<Beacon>,
    names: HashMap<usize, String>,
    /// Who had it at the last look, and since when, at the latest.
    hold: Hold,
    since: Instant,
    /// Who holds it for too long, once that is reported.
    stuck_in: Option<String>,
    /// When its shard last answered.
    answered: Instant,
}

impl Watched {
    fn new(beacon: Arc<Beacon>) -> Self {
        Self {
            hold: beacon.read(),
            beacon,
            names: HashMap::new(),
            since: Instant::now(),
            stuck_in: None,
            answered: Instant::now(),
        }
    }

    /// What to say of its shard, which has not answered.
    fn silent(&self, shard: u16, stall_limit: Duration, now: Instant) -> Silent {
        let hold = self.beacon.read();
        // One that is not as it was at the last look has only just begun.
        let held = match hold == self.hold {
            true => now.duration_since(self.since),
            false => Duration::ZERO,
        };
        match hold.holder() {
            Some(holder) => Silent {
                shard,
                holder: Some(self.describe(holder)),
                lasting: held,
                is_dead: held > stall_limit,
            },
            None => Silent {
                shard,
                holder: None,
                lasting: now.duration_since(self.answered),
                is_dead: true,
            },
        }
    }

    /// In words, who holds the core.
    fn describe(&self, holder: Holder) -> String {
        match holder {
            Holder::Loading => "the script, while it loads".to_owned(),
            Holder::Function(number) => match self.names.get(&number) {
                Some(name) => name.clone(),
                None => format!("function {number}"),
            },
        }
    }
}

impl Control {
    fn run(mut self, from_shards: &Receiver<ToControl>) {
        let mut next_look = Instant::now() + LOOK_INTERVAL;
        loop {
            let now = Instant::now();
            if now >= next_look {
                self.look(now);
                next_look = now + LOOK_INTERVAL;
            }
            self.beat();
            // An orchestrator's shards give their cores to nobody.
            let is_watching = self.watched.iter().any(|watched| !watched.names.is_empty());
            let look = is_watching.then_some(next_look);
            let beat = self.heartbeat.as_ref().map(|(_, next)| *next);
            let next = look.into_iter().chain(beat).min();
            let wait = next.map_or(FOR_LONG, |next| next.saturating_duration_since(now));
            match from_shards.recv_timeout(wait) {
                Ok(ToControl::WantSnapshot(caller)) => self.answer(caller),
                Ok(ToControl::Functions { shard, names }) => {
                    if let Some(watched) = self.watched.get_mut(usize::from(shard)) {
                        watched.names.extend(names);
                    }
                }
                Ok(ToControl::Watch(heartbeat)) => {
                    let first = Instant::now() + heartbeat.every;
                    self.heartbeat = Some((heartbeat, first));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(ToControl::Close) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Looks who has the cores, and reports those who have had one for too long.
    fn look(&mut self, now: Instant) {
        for (shard, watched) in self.watched.iter_mut().enumerate() {
            let hold = watched.beacon.read();
            if hold != watched.hold {
                if let Some(holder) = watched.stuck_in.take() {
                    let held = now.duration_since(watched.since).as_millis();
                    warn!(
                        "shard {shard} of {} goes on: `{holder}` held its core for {held} ms",
                        self.name
                    );
                }
                (watched.hold, watched.since) = (hold, now);
                continue;
            }
            let held = now.duration_since(watched.since);
            if let Some(holder) = hold.holder()
                && watched.stuck_in.is_none()
                && held >= STALL
            {
                let holder = watched.describe(holder);
                warn!(
                    "shard {shard} of {} is stuck: `{holder}` has held its core for {} ms, and all other calls there \
                     wait; a built-in on much data cannot be interrupted (sort, join, indexOf, JSON.parse, ...)",
                    self.name,
                    held.as_millis()
                );
                *self.stalls.entry(holder.clone()).or_default() += 1;
                watched.stuck_in = Some(holder);
            }
        }
    }

    /// Asks the shards whether they are there, where it is time to, and tells who wants to hear.
    fn beat(&mut self) {
        let now = Instant::now();
        let Some((mut heartbeat, next)) = self.heartbeat.take() else {
            return;
        };
        if now < next {
            self.heartbeat = Some((heartbeat, next));
            return;
        }
        let (snapshot, answered) = self.collect();
        let now = Instant::now();
        let mut silent = Vec::new();
        for (shard, watched) in (0..).zip(&mut self.watched) {
            match answered.contains(&shard) {
                true => watched.answered = now,
                // One that has drained has ended by itself.
                false
                    if self
                        .inboxes
                        .get(usize::from(shard))
                        .is_none_or(Inbox::is_closed) => {}
                false => silent.push(watched.silent(shard, heartbeat.stall_limit, now)),
            }
        }
        let snapshot = snapshot.unwrap_or_default();
        (heartbeat.tell)(&Pulse { snapshot, silent });
        let next = now + heartbeat.every;
        self.heartbeat = Some((heartbeat, next));
    }

    /// Answers whoever wants a snapshot.
    fn answer(&self, caller: Caller) {
        let (snapshot, _) = self.collect();
        if let Some(inbox) = self.inboxes.get(usize::from(caller.shard)) {
            let _ = inbox.unbounded_send(ToShard::Answer(caller, encode(&snapshot)));
        }
    }

    /// A snapshot of all shards that answer in time, and which those are.
    fn collect(&self) -> (Option<Snapshot>, Vec<u16>) {
        let deadline = Instant::now() + SNAPSHOT_TIMEOUT;
        let (reply, replies) = channel();
        tell(&self.inboxes, || ToShard::Snapshot(reply.clone()));
        drop(reply);
        let mut sum: Option<Snapshot> = None;
        let mut answered = Vec::new();
        while answered.len() < self.inboxes.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((shard, snapshot)) = replies.recv_timeout(left) else {
                break;
            };
            answered.push(shard);
            match &mut sum {
                Some(sum) => sum.merge(snapshot),
                None => sum = Some(snapshot),
            }
        }
        if let Some(sum) = &mut sum {
            sum.silent_shards = (self.inboxes.len() - answered.len()) as u16;
            let stalls = self.stalls.iter();
            sum.stalls = stalls.map(|(name, count)| (name.clone(), *count)).collect();
        }
        (sum, answered)
    }
}

fn encode(snapshot: &Option<Snapshot>) -> Result<Vec<u8>, CallError> {
    let internal = |error: String| CallError::may_have_run(ErrorKind::Internal, error);
    let snapshot = snapshot
        .as_ref()
        .ok_or_else(|| internal("no shard answers".into()))?;
    let value = to_value(snapshot).map_err(|error| internal(format!("statistics: {error}")))?;
    let mut body = Vec::new();
    value
        .encode(&mut body, BODY_MAX_BYTES)
        .map_err(|error| internal(format!("statistics: {error}")))?;
    Ok(body)
}

/// Tells every shard.
pub(crate) fn tell(inboxes: &[Inbox], message: impl Fn() -> ToShard) {
    for inbox in inboxes {
        // A shard that has ended does not listen any more.
        let _ = inbox.unbounded_send(message());
    }
}
