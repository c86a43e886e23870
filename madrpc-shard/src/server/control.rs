//! The control thread of a server: what is to be done beside the calls.
//!
//! It lays the shards' parts of a snapshot together, and watches whether a core is stuck: a shard that runs a built-in
//! of JavaScript which asks nobody can neither answer nor serve, and only from outside can anybody tell.

mod known;
mod snapshots;

use super::heartbeat::{Heartbeat, Pulse, Silent};
use super::messages::{Caller, Counts, Inbox, ToShard};
use super::observer::Asking;
use super::remote::{ReloadRequest, Remote, Wish};
use crate::net::dial::FleetNews;
use crate::net::log_limit::LineBudget;
use crate::runtime::beacon::{Beacon, Hold, Holder};
use known::Known;
use madrpc_core::numbers::later;
use madrpc_core::stats::Snapshot;
use snapshots::{Collected, Snapshots};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracing::warn;

/// How often it is looked who has the cores.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a core may be held in one piece before that is reported. A slice is half a millisecond.
const STALL: Duration = Duration::from_millis(500);

/// Lines about stuck cores, and in how long.
const LINES_MAX: u32 = 20;
const LINES_TIME: Duration = Duration::from_secs(60);

/// A wait that only a message ends.
const FOR_LONG: Duration = Duration::from_secs(60 * 60);

/// What a shard tells the control thread.
pub(crate) enum ToControl {
    /// A caller wants a snapshot of all shards.
    WantSnapshot(Caller),
    /// So does somebody in this process.
    Observe(Asking),
    /// An operator wants something done.
    Remote(Wish, Caller),
    /// This is who reloads where an operator asks for it.
    ReloadBy(Box<dyn FnMut(ReloadRequest) + Send>),
    /// What a shard has counted, or some of it: the answer to [`ToShard::Count`].
    Counted {
        round: u64,
        shard: u16,
        /// With the first of it.
        head: Option<Box<Snapshot>>,
        counts: Counts,
    },
    /// The numbers by which the shard's beacon calls its functions.
    Functions {
        shard: u16,
        names: HashMap<usize, String>,
    },
    /// Somebody wants to hear, again and again, whether the shards answer.
    Watch(Heartbeat),
    /// A shard cannot reach one of its targets any more.
    Missing,
    /// Somebody wants to hear of that.
    #[cfg_attr(
        not(feature = "discovery"),
        expect(dead_code, reason = "it is discovery that wants to")
    )]
    OnMissing(Box<dyn FnMut() + Send>),
    /// A shard has learned something of the fleet, of which each shard has a part only.
    Fleet(Vec<FleetNews>),
    /// So many spans that shards have recorded have come to nobody.
    #[cfg_attr(
        not(feature = "traces"),
        expect(dead_code, reason = "only traces have spans")
    )]
    SpansDropped(u64),
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
        snapshots: Snapshots::new(inboxes.clone(), Instant::now()),
        known: Known::new(inboxes.clone()),
        remote: Remote::new(inboxes),
        watched,
        lines: LineBudget::new(LINES_MAX, LINES_TIME),
        stalls: BTreeMap::new(),
        spans_dropped: 0,
        heartbeat: None,
        on_missing: None,
    };
    std::thread::Builder::new()
        .name("control".into())
        .spawn(move || control.run(&from_shards))
}

struct Control {
    name: String,
    snapshots: Snapshots,
    remote: Remote,
    known: Known,
    /// The shards' cores, in their order.
    watched: Vec<Watched>,
    /// What is said of cores that are stuck: who calls may have one be so every second.
    lines: LineBudget,
    /// How often a core was stuck, by who held it.
    stalls: BTreeMap<String, u64>,
    /// Spans that have come to nobody, once they had left their shards.
    spans_dropped: u64,
    /// Who wants to hear from the shards, and when next.
    heartbeat: Option<(Heartbeat, Instant)>,
    /// Who wants to hear of targets that cannot be reached any more.
    on_missing: Option<Box<dyn FnMut() + Send>>,
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
        let mut next_look = later(Instant::now(), LOOK_INTERVAL);
        loop {
            let now = Instant::now();
            if now >= next_look {
                self.look(now);
                next_look = later(now, LOOK_INTERVAL);
            }
            let heartbeat = self.heartbeat.as_ref();
            let beats = heartbeat.is_some_and(|(_, next)| now >= *next);
            if beats {
                self.snapshots.begin(now);
            }
            self.known.turn(now);
            if let Some(collected) = self.snapshots.turn(now) {
                self.on_collected(collected, beats);
            }
            // An orchestrator's shards give their cores to nobody.
            let is_watching = self.watched.iter().any(|watched| !watched.names.is_empty());
            let look = is_watching.then_some(next_look);
            // A heartbeat that is due waits for the shards' answers.
            let heartbeat = self.heartbeat.as_ref();
            let heartbeat = heartbeat.filter(|_| !self.snapshots.is_collecting());
            let beat = heartbeat.map(|(_, next)| *next);
            let known = self.known.next_timer(now);
            let next = [look, beat, known, self.snapshots.next_timer()];
            let next = next.into_iter().flatten().min();
            let wait = next.map_or(FOR_LONG, |next| next.saturating_duration_since(now));
            match from_shards.recv_timeout(wait) {
                Ok(ToControl::WantSnapshot(caller)) => self.snapshots.want(caller),
                Ok(ToControl::Observe(asking)) => self.snapshots.observe(asking),
                Ok(ToControl::Remote(wish, caller)) => self.remote.carry_out(wish, caller),
                Ok(ToControl::ReloadBy(reload)) => self.remote.set_reload(reload),
                Ok(ToControl::Counted {
                    round,
                    shard,
                    head,
                    counts,
                }) => self.snapshots.on_counted(round, shard, head, counts),
                Ok(ToControl::Functions { shard, names }) => {
                    if let Some(watched) = self.watched.get_mut(usize::from(shard)) {
                        watched.names.extend(names);
                    }
                }
                Ok(ToControl::Watch(heartbeat)) => {
                    let first = later(Instant::now(), heartbeat.every);
                    self.heartbeat = Some((heartbeat, first));
                }
                Ok(ToControl::Missing) => {
                    if let Some(tell) = &mut self.on_missing {
                        tell();
                    }
                }
                Ok(ToControl::Fleet(news)) => self.known.note(news),
                Ok(ToControl::SpansDropped(spans)) => self.spans_dropped += spans,
                Ok(ToControl::OnMissing(tell)) => self.on_missing = Some(tell),
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
                if let Some(holder) = watched.stuck_in.take()
                    && self.lines.take(now)
                {
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
                if self.lines.take(now) {
                    warn!(
                        "shard {shard} of {} is stuck: `{holder}` has held its core for {} ms, and all other calls there \
                         wait; a built-in on much data cannot be interrupted (sort, join, indexOf, JSON.parse, ...)",
                        self.name,
                        held.as_millis()
                    );
                }
                *self.stalls.entry(holder.clone()).or_default() += 1;
                watched.stuck_in = Some(holder);
            }
        }
        if let Some(count) = self.lines.take_untold(now) {
            warn!(
                "{count} more lines about stuck shards of {} (`madrpc top` counts them)",
                self.name
            );
        }
    }

    /// Answers those who want a snapshot, and tells who wants to hear from the shards, where it is time to.
    fn on_collected(&mut self, mut collected: Collected, beats: bool) {
        if let Some(snapshot) = &mut collected.snapshot {
            snapshot.spans_dropped += self.spans_dropped;
            let stalls = self.stalls.iter();
            snapshot.stalls = stalls.map(|(name, count)| (name.clone(), *count)).collect();
        }
        self.snapshots.answer(&mut collected);
        if beats {
            self.beat(collected);
        }
    }

    /// Tells who wants to hear from the shards.
    fn beat(&mut self, collected: Collected) {
        let Some((mut heartbeat, _)) = self.heartbeat.take() else {
            return;
        };
        let now = Instant::now();
        let mut silent = Vec::new();
        for (shard, (watched, heard)) in self.watched.iter_mut().zip(collected.heard).enumerate() {
            match heard {
                true => watched.answered = now,
                // One that has drained has ended by itself.
                false if self.snapshots.is_gone(shard) => {}
                false => silent.push(watched.silent(shard as u16, heartbeat.stall_limit, now)),
            }
        }
        let snapshot = collected.snapshot.unwrap_or_default();
        (heartbeat.tell)(&Pulse { snapshot, silent });
        let next = later(now, heartbeat.every);
        self.heartbeat = Some((heartbeat, next));
    }
}

/// Tells every shard.
pub(crate) fn tell(inboxes: &[Inbox], message: impl Fn() -> ToShard) {
    for inbox in inboxes {
        // A shard that has ended does not listen any more.
        let _ = inbox.send(message());
    }
}
