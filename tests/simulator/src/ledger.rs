//! Every call and what became of it, and what must never be.
//!
//! Nothing here is taken from the router: it is what callers and nodes have seen.

use crate::agenda::{MS, SECOND, Session, Time};
use madrpc_core::call::ErrorKind;
use madrpc_core::fleet::Attempt;
use madrpc_core::limits::DEADLINE_GRACE;

/// Violations that are told.
const TOLD_MAX: usize = 5;

/// Time that a call may need beside ten times its cost, in a fleet whose lanes are cold.
const CALM_SLACK: Time = 300 * MS;

/// Nodes that one call may begin on.
const RUNS_MAX: u8 = 2;

/// The retries that a router may make: a share of its calls, and some in any case.
const RETRIES_SHARE: f64 = 0.2;
const RETRIES_AT_ONCE: f64 = 101.0;
const RETRIES_PER_SECOND: f64 = 10.0;

/// How a call ends for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Result,
    /// The function threw.
    Thrown,
    Error {
        kind: ErrorKind,
        may_have_run: bool,
    },
}

/// Where a call is that a shard has sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pending {
    pub(crate) link: u32,
    pub(crate) epoch: u32,
    /// Which of the small calls on its session it is, 0 for a large one.
    pub(crate) sequence: u32,
    pub(crate) attempt: Attempt,
}

impl Pending {
    pub(crate) fn is_on(&self, session: Session) -> bool {
        (self.link, self.epoch) == (session.link, session.epoch)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) shard: u32,
    pub(crate) function: usize,
    /// Time on a core of speed 1.
    pub(crate) cost: Time,
    pub(crate) arrived: Time,
    pub(crate) deadline: Time,
    /// Its caller says that it may run twice.
    pub(crate) may_repeat: bool,
    /// So says its function.
    pub(crate) is_idempotent: bool,
    /// Its arguments have a stream of their own.
    pub(crate) is_large: bool,
    /// It is not kept to be sent again.
    pub(crate) is_sent_once: bool,
    /// The digest of its key.
    pub(crate) key: Option<u64>,
    pub(crate) pending: Option<Pending>,
    /// The members that it was sent to, by the shard's numbers for them: a node that leaves and comes back has another.
    pub(crate) sent_to: Vec<u32>,
    /// The sessions on which it was sent, and has neither an answer nor been given up.
    asked: Vec<(u32, u32)>,
    runs: u8,
    end: Option<End>,
    ended_at: Time,
    is_given_up: bool,
}

impl Call {
    pub(crate) fn new(shard: u32, function: usize, cost: Time, arrived: Time) -> Self {
        Self {
            shard,
            function,
            cost,
            arrived,
            deadline: Time::MAX,
            may_repeat: false,
            is_idempotent: false,
            is_large: false,
            is_sent_once: false,
            key: None,
            pending: None,
            sent_to: Vec::new(),
            asked: Vec::new(),
            runs: 0,
            end: None,
            ended_at: 0,
            is_given_up: false,
        }
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.end.is_some() || self.is_given_up
    }
}

/// Calls, and what was seen of them.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) calls: Vec<Call>,
    /// From here on no call may fail but by its own fault.
    pub(crate) calm_from: Option<Time>,
    pub(crate) violations: Vec<String>,
    /// A call whose way is told.
    pub(crate) watched: Option<u32>,
    pub(crate) way: Vec<String>,
    /// Calls that have just ended.
    ended: Vec<u32>,
    /// Calls and retries of each shard.
    made: Vec<(u64, u64)>,
}

impl Ledger {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            made: vec![(0, 0); shards],
            ..Self::default()
        }
    }

    pub(crate) fn break_of(&mut self, now: Time, what: &str) {
        if self.violations.len() < TOLD_MAX {
            let now = now as f64 / SECOND as f64;
            self.violations.push(format!("{now:.6} s: {what}"));
        }
    }

    fn note(&mut self, number: u32, now: Time, what: impl FnOnce() -> String) {
        if self.watched == Some(number) {
            let now = now as f64 / SECOND as f64;
            self.way.push(format!("{now:.6} s: {}", what()));
        }
    }

    /// A call comes from outside.
    pub(crate) fn add(&mut self, call: Call) -> u32 {
        if let Some((calls, _)) = self.made.get_mut(call.shard as usize) {
            *calls += 1;
        }
        self.calls.push(call);
        self.calls.len() as u32 - 1
    }

    /// A call is sent to a node.
    pub(crate) fn sent(&mut self, number: u32, (member, node): (u32, u32), epoch: u32, now: Time) {
        self.note(number, now, || format!("sent to node {node}"));
        let call = &mut self.calls[number as usize];
        let is_retry = !call.sent_to.is_empty();
        let again = call.sent_to.contains(&member);
        call.sent_to.push(member);
        call.asked.push((member, epoch));
        let (calls, retries) = &mut self.made[call.shard as usize];
        *retries += u64::from(is_retry);
        let most = RETRIES_SHARE * *calls as f64
            + RETRIES_AT_ONCE
            + RETRIES_PER_SECOND * now as f64 / SECOND as f64;
        let is_beyond = *retries as f64 > most;
        if is_beyond && is_retry {
            let what = format!("call {number}: retry {retries} of {calls} calls");
            self.break_of(now, &what);
        }
        if again {
            self.break_of(now, &format!("call {number}: sent to node {node} again"));
        }
    }

    /// Nobody waits any more for what is said of a call on this session.
    pub(crate) fn over_at(&mut self, number: u32, link: u32, epoch: u32) {
        let asked = &mut self.calls[number as usize].asked;
        asked.retain(|one| *one != (link, epoch));
    }

    /// Calls that have ended since this was last asked, with the sessions on which they are still asked for.
    pub(crate) fn take_asked(&mut self) -> Option<(u32, Vec<(u32, u32)>)> {
        let number = self.ended.pop()?;
        let asked = std::mem::take(&mut self.calls[number as usize].asked);
        Some((number, asked))
    }

    /// A node begins with a call.
    pub(crate) fn begin(&mut self, number: u32, node: u32, now: Time) {
        self.note(number, now, || format!("begins at node {node}"));
        let call = &mut self.calls[number as usize];
        call.runs += 1;
        let is_repeatable = call.may_repeat || call.is_idempotent;
        let runs = call.runs;
        let was_told = matches!(
            call.end,
            Some(End::Error {
                may_have_run: false,
                ..
            })
        );
        if runs > 1 && !is_repeatable {
            let what =
                format!("call {number}: run {runs} at node {node}, and it is not idempotent");
            self.break_of(now, &what);
        }
        if runs > RUNS_MAX {
            self.break_of(now, &format!("call {number}: run {runs}, at node {node}"));
        }
        if was_told {
            let what =
                format!("call {number}: runs at node {node} after an error said that it had not");
            self.break_of(now, &what);
        }
    }

    /// Its caller gives a call up; says whether it had no end yet.
    pub(crate) fn give_up(&mut self, number: u32) -> bool {
        let call = &mut self.calls[number as usize];
        !call.is_over() && !std::mem::replace(&mut call.is_given_up, true)
    }

    /// A caller is told how its call has ended.
    pub(crate) fn end(&mut self, number: u32, end: End, now: Time) {
        self.note(number, now, || format!("ends: {end:?}"));
        let call = &mut self.calls[number as usize];
        let (before, is_given_up, runs) = (call.end, call.is_given_up, call.runs);
        let latest = call.deadline + DEADLINE_GRACE.as_nanos() as Time + MS;
        call.end = Some(end);
        call.ended_at = now;
        self.ended.push(number);
        let call = &self.calls[number as usize];
        let (deadline, arrived, cost) = (call.deadline, call.arrived, call.cost);
        let is_calm = self.calm_from.is_some_and(|from| call.arrived >= from);
        if before.is_some() || is_given_up {
            let what = format!("call {number}: ends as {end:?} after {before:?}, {is_given_up}");
            self.break_of(now, &what);
        }
        if now > latest {
            let what = format!("call {number}: ends {} ms late", (now - deadline) / MS);
            self.break_of(now, &what);
        }
        match end {
            End::Result | End::Thrown if runs == 0 => {
                self.break_of(now, &format!("call {number}: {end:?}, and it never ran"));
            }
            End::Error {
                may_have_run: false,
                ..
            } if runs > 0 => {
                let what = format!("call {number}: {end:?}, and it began {runs} times");
                self.break_of(now, &what);
            }
            _ => {}
        }
        let is_its_own = matches!(
            end,
            End::Result
                | End::Thrown
                // Whether somebody has it is looked at where it is told.
                | End::Error { kind: ErrorKind::NoSuchFunction, .. }
        );
        // Some have hardly the time that they take.
        let is_short = deadline - arrived < 10 * cost + CALM_SLACK;
        let is_late = matches!(
            end,
            End::Error {
                kind: ErrorKind::DeadlineExceeded,
                ..
            }
        );
        if is_calm && !is_its_own && !(is_late && is_short) {
            let what = format!("call {number}: {end:?}, when all was well again");
            self.break_of(now, &what);
        }
    }

    /// All that could happen has.
    pub(crate) fn close(&mut self, now: Time) {
        let open = self.calls.iter().filter(|call| !call.is_over()).count();
        if open > 0 {
            self.break_of(now, &format!("{open} calls never ended"));
        }
        let stuck = self.calls.iter().filter(|call| call.pending.is_some());
        let stuck = stuck.count();
        if stuck > 0 {
            self.break_of(now, &format!("{stuck} calls are still under way"));
        }
    }

    /// How long calls took that began in this time and have a result, in their order, and how many have none.
    pub(crate) fn latencies(&self, from: Time, until: Time) -> (Vec<Time>, usize) {
        let mut taken = Vec::new();
        let mut failed = 0;
        for call in &self.calls {
            if !(from..until).contains(&call.arrived) || call.is_given_up {
                continue;
            }
            match call.end {
                Some(End::Result | End::Thrown) => taken.push(call.ended_at - call.arrived),
                _ => failed += 1,
            }
        }
        taken.sort_unstable();
        (taken, failed)
    }

    /// How many calls have ended in which way.
    pub(crate) fn ends(&self) -> Vec<(String, usize)> {
        let mut ends: Vec<(String, usize)> = Vec::new();
        for call in &self.calls {
            let name = match call.end {
                None => "given up".to_owned(),
                Some(End::Error { kind, .. }) => format!("{kind:?}"),
                Some(end) => format!("{end:?}"),
            };
            match ends.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += 1,
                None => ends.push((name, 1)),
            }
        }
        ends.sort();
        ends
    }

    /// Retries in all.
    pub(crate) fn retries(&self) -> u64 {
        self.made.iter().map(|(_, retries)| retries).sum()
    }
}
