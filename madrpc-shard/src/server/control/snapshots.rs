//! Snapshots: what the shards have counted, collected for all who want it.
//!
//! Each shard is asked for its rows some at a time, and for the next ones when those have come, so that it never holds up
//! its calls for long and few rows are on their way. One collection is under way at a time, and they begin at intervals:
//! however many callers ask, and however often, a snapshot costs the shards and this thread a bounded share of their time.
//! A caller gets what was collected after it asked.

use crate::server::messages::{Caller, Counts, Cursor, Inbox, ToShard};
use crate::server::observer::Asking;
use bytes::Bytes;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::limits::BODY_MAX_BYTES;
use madrpc_core::numbers::later;
use madrpc_core::stats::{Snapshot, Sum};
use madrpc_core::value::to_value;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the shards may take to say all; one that does not say anything is stuck in something that cannot be
/// interrupted.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The least time from the beginning of one collection to that of the next.
const INTERVAL: Duration = Duration::from_millis(100);

/// After a collection, how many times as long as it kept this thread busy there is none: it shares the shards' cores.
const REST: u32 = 9;

/// Answers to the callers after one collection, together: the shards copy them, and send them. The others wait for the next
/// collection, as many of them as the shards let wait.
const ANSWERS_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Those who want a snapshot, and the collection that is under way.
pub(super) struct Snapshots {
    inboxes: Vec<Inbox>,
    /// In the order in which they asked.
    callers: VecDeque<Caller>,
    /// In this process, likewise.
    observers: Vec<Asking>,
    collection: Option<Collection>,
    round: u64,
    /// When a collection for callers may begin.
    not_before: Instant,
}

struct Collection {
    begun: Instant,
    sum: Sum,
    shards: Vec<Stage>,
    /// The callers that asked before it began.
    callers: usize,
    observers: Vec<Asking>,
    /// How long it has kept this thread busy.
    work: Duration,
}

/// How far a shard has got in a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asked,
    /// It has begun to answer.
    Heard,
    Done,
    /// It does not listen any more.
    Gone,
}

/// What came of a collection.
pub(super) struct Collected {
    /// Nothing where no shard has said anything.
    pub(super) snapshot: Option<Snapshot>,
    /// For each shard, whether it answers.
    pub(super) heard: Vec<bool>,
    callers: usize,
    observers: Vec<Asking>,
    begun: Instant,
    work: Duration,
}

impl Snapshots {
    pub(super) fn new(inboxes: Vec<Inbox>, now: Instant) -> Self {
        Self {
            inboxes,
            callers: VecDeque::new(),
            observers: Vec::new(),
            collection: None,
            round: 0,
            not_before: now,
        }
    }

    /// Whether a shard has ended.
    pub(super) fn is_gone(&self, shard: usize) -> bool {
        self.inboxes.get(shard).is_none_or(Inbox::has_ended)
    }

    /// Whether a collection is under way.
    pub(super) fn is_collecting(&self) -> bool {
        self.collection.is_some()
    }

    /// When to take the next turn at the latest.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        match &self.collection {
            Some(collection) => Some(later(collection.begun, TIMEOUT)),
            None => self.is_wanted().then_some(self.not_before),
        }
    }

    /// A caller wants a snapshot.
    pub(super) fn want(&mut self, caller: Caller) {
        self.callers.push_back(caller);
    }

    /// So does somebody in this process.
    pub(super) fn observe(&mut self, asking: Asking) {
        self.observers.push(asking);
    }

    fn is_wanted(&self) -> bool {
        !self.callers.is_empty() || !self.observers.is_empty()
    }

    /// Asks all shards, unless that is under way.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.is_collecting() {
            return;
        }
        self.round += 1;
        let round = self.round;
        let ask = |inbox: &Inbox| match inbox.send(ToShard::Count {
            round,
            from: Cursor::START,
        }) {
            Ok(()) => Stage::Asked,
            Err(_) => Stage::Gone,
        };
        self.collection = Some(Collection {
            begun: now,
            sum: Sum::default(),
            shards: self.inboxes.iter().map(ask).collect(),
            callers: self.callers.len(),
            observers: std::mem::take(&mut self.observers),
            work: Duration::ZERO,
        });
    }

    /// A shard has said something, in answer to the question of this round.
    pub(super) fn on_counted(
        &mut self,
        round: u64,
        shard: u16,
        head: Option<Box<Snapshot>>,
        counts: Counts,
    ) {
        let begun = Instant::now();
        let shard = usize::from(shard);
        let Some(collection) = self.collection.as_mut().filter(|_| round == self.round) else {
            return;
        };
        let (Some(stage), Some(inbox)) =
            (collection.shards.get_mut(shard), self.inboxes.get(shard))
        else {
            return;
        };
        if let Some(head) = head {
            collection.sum.add(*head);
        }
        for tally in counts.tallies {
            collection.sum.count(tally);
        }
        collection.sum.add_upstreams(counts.upstreams);
        *stage = match counts.next {
            None => Stage::Done,
            Some(from) => match inbox.send(ToShard::Count { round, from }) {
                Ok(()) => Stage::Heard,
                Err(_) => Stage::Gone,
            },
        };
        collection.work = collection.work.saturating_add(begun.elapsed());
    }

    /// Begins a collection where callers wait for one and it is time; ends it once all shards have said all, or have had
    /// their time.
    pub(super) fn turn(&mut self, now: Instant) -> Option<Collected> {
        if self.is_wanted() && now >= self.not_before {
            self.begin(now);
        }
        let collection = self.collection.as_ref()?;
        let is_open = |stage: &Stage| matches!(stage, Stage::Asked | Stage::Heard);
        if now < later(collection.begun, TIMEOUT) && collection.shards.iter().any(is_open) {
            return None;
        }
        let Collection {
            begun,
            sum,
            shards,
            callers,
            observers,
            work,
        } = self.collection.take()?;
        let finishing = Instant::now();
        let mut snapshot = sum.finish();
        if let Some(snapshot) = &mut snapshot {
            let missing = shards.iter().filter(|stage| **stage != Stage::Done).count();
            snapshot.silent_shards = missing as u16;
        }
        let is_heard = |stage: &Stage| matches!(stage, Stage::Heard | Stage::Done);
        Some(Collected {
            snapshot,
            heard: shards.iter().map(is_heard).collect(),
            callers,
            observers,
            begun,
            work: work.saturating_add(finishing.elapsed()),
        })
    }

    /// Answers the callers who asked before the collection began, and sets the time of the next one.
    pub(super) fn answer(&mut self, collected: &mut Collected) {
        let encoding = Instant::now();
        if collected.callers > 0 {
            let answer = encode(collected.snapshot.as_ref());
            let bytes = answer.as_ref().map_or(0, Bytes::len);
            let affordable = ANSWERS_MAX_BYTES / bytes.max(1);
            let callers = self.callers.len().min(collected.callers);
            for caller in self.callers.drain(..callers.min(affordable.max(1))) {
                if let Some(inbox) = self.inboxes.get(usize::from(caller.shard)) {
                    // A shard that has ended has no callers any more.
                    let _ = inbox.send(ToShard::Answer(caller, answer.clone()));
                }
            }
        }
        let observers = std::mem::take(&mut collected.observers);
        if let Some(snapshot) = collected
            .snapshot
            .as_ref()
            .filter(|_| !observers.is_empty())
        {
            let snapshot = Arc::new(snapshot.clone());
            for asking in observers {
                // Whoever asked may not wait for it.
                let _ = asking.send(Arc::clone(&snapshot));
            }
        }
        let now = Instant::now();
        let work = collected.work.saturating_add(now.duration_since(encoding));
        self.not_before =
            later(collected.begun, INTERVAL).max(later(now, work.saturating_mul(REST)));
    }
}

fn encode(snapshot: Option<&Snapshot>) -> Result<Bytes, CallError> {
    let internal = |error: String| CallError::may_have_run(ErrorKind::Internal, error);
    let snapshot = snapshot.ok_or_else(|| internal("no shard answers".into()))?;
    let value = to_value(snapshot).map_err(|error| internal(format!("statistics: {error}")))?;
    let mut body = Vec::new();
    value
        .encode(&mut body, BODY_MAX_BYTES)
        .map_err(|error| internal(format!("statistics: {error}")))?;
    Ok(body.into())
}

#[cfg(test)]
mod tests;
