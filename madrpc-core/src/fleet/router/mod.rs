//! The members, who of them gets a call, and whether a call that failed is tried again.

mod attempt;
mod ejection;
mod selection;

pub use attempt::{Attempt, Ending, NoMember, is_passing, was_sent_after};

use crate::balance::RoundRobin;
use crate::call::{Announcement, Load};
use crate::fleet::backlog::Backlogs;
use crate::fleet::budget::RetryBudget;
use crate::fleet::functions::{FunctionNumber, Functions};
use crate::fleet::health::Health;
use crate::fleet::load::{MemberLoad, OthersMean};
use crate::fleet::outliers::Outlier;
use crate::fleet::rendezvous::digest;
use attempt::TRIES_MAX;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Members that may run one call: one that ends every node it runs on is not carried through the fleet. Those that were lost before
/// count, by whoever has made the call again and with the calls that it is a part of.
pub const RUNS_MAX: u8 = 2;

/// The share of the members that may be left out as they fail, in percent (`--max-ejected`).
pub const MAX_EJECTED_PERCENT: u8 = 50;

/// Of how many calls one is looked at for what it took, where the balance itself does not go by it.
const SAMPLED_ONE_IN: u32 = 8;

/// What is added for each call to the number that is to be small for one that is looked at. It is the golden ratio's, so that
/// it comes to every member, however they take turns.
const SAMPLE_STEP: u32 = 0x9E37_79B9;

/// Which of the members that have a function gets a call of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// One after the other, but for those that have far more to do than the others, see `backlog`.
    #[default]
    RoundRobin,
    /// The one that is expected to be through with it first.
    LeastLoaded,
    /// The one that has the greatest weight for the key of the call, see `rendezvous`; a call without a key goes in turn. The
    /// weights of all of them are looked at, some 1.5 ns each: of thousands a shard should have a subset.
    Hash,
}

impl Balance {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RoundRobin, Self::LeastLoaded, Self::Hash];

    /// Their names, in settings.
    pub const NAMES: [&str; 3] = ["round-robin", "least-loaded", "hash"];

    /// The one of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "round-robin" => Some(Self::RoundRobin),
            "least-loaded" => Some(Self::LeastLoaded),
            "hash" => Some(Self::Hash),
            _ => None,
        }
    }
}

/// How an orchestrator chooses among its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routing {
    /// Which of those that have a function gets a call of it.
    pub balance: Balance,
    /// The share of the members that may be left out as they fail, in percent.
    pub max_ejected_percent: u8,
    /// The share of a function's calls, in percent, after whose time a second member is asked for one that may run twice; never
    /// where there is no number.
    pub hedge_percent: Option<u8>,
    /// How long a member may take before another is asked in its place for a call that may run twice; up to the deadline where
    /// there is no time.
    pub try_timeout: Option<Duration>,
    /// How many of the members each shard has sessions to; all where there is no number.
    pub subset: Option<usize>,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            balance: Balance::default(),
            max_ejected_percent: MAX_EJECTED_PERCENT,
            hedge_percent: None,
            try_timeout: None,
            subset: None,
        }
    }
}

/// The members of a fleet, by numbers that are given anew after they have left.
#[derive(Debug)]
pub struct Router {
    members: Vec<Option<Member>>,
    /// Which of them can have any call.
    well: Vec<bool>,
    count: usize,
    functions: Functions,
    /// Members that can be reached, and those of which that is not yet known.
    open: RoundRobin,
    connecting: RoundRobin,
    /// Those that can be reached and have not said what they have.
    wild: RoundRobin,
    ejected: RoundRobin,
    /// Those that have far more to do than the others.
    backlogs: Backlogs,
    /// When the next of those may be tried.
    probe_at: Option<Instant>,
    balance: Balance,
    /// Grows by [`SAMPLE_STEP`] with each call, which is looked at where it is no more than the other.
    sample: u32,
    sample_max: u32,
    /// The share of the members that may be left out.
    max_ejected_percent: u8,
    /// That of the calls that no second member is asked for.
    hedge_percent: Option<u8>,
    budget: RetryBudget,
    /// What a member has to do for others.
    others_us: OthersMean,
    /// The first few names of functions, where somebody asked for them since they changed.
    listed: Option<String>,
}

#[derive(Debug, Default)]
struct Member {
    /// The digest of its name, for `hash`.
    digest: u64,
    health: Health,
    load: MemberLoad,
    is_open: bool,
    /// The numbers of its functions, once it has said what it has.
    functions: Option<Vec<u32>>,
    script: u64,
}

impl Router {
    /// A fleet without members.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            members: Vec::new(),
            well: Vec::new(),
            count: 0,
            functions: Functions::default(),
            open: RoundRobin::default(),
            connecting: RoundRobin::default(),
            wild: RoundRobin::default(),
            ejected: RoundRobin::default(),
            backlogs: Backlogs::default(),
            probe_at: None,
            balance: Balance::default(),
            sample: 0,
            sample_max: u32::MAX / SAMPLED_ONE_IN,
            max_ejected_percent: MAX_EJECTED_PERCENT,
            hedge_percent: None,
            budget: RetryBudget::new(now),
            others_us: OthersMean::default(),
            listed: None,
        }
    }

    /// Goes by this from now on.
    pub fn set_balance(&mut self, balance: Balance) {
        self.balance = balance;
        self.sample_max = match balance {
            Balance::LeastLoaded => u32::MAX,
            Balance::RoundRobin | Balance::Hash => u32::MAX / SAMPLED_ONE_IN,
        };
    }

    /// No more than this share of the members is left out as they fail, rounded down, and never all of them.
    pub fn set_max_ejected(&mut self, percent: u8) {
        self.max_ejected_percent = percent;
    }

    /// A member comes, under a number that no other has.
    pub fn add(&mut self, member: usize) {
        if member >= self.members.len() {
            self.members.resize_with(member + 1, || None);
        }
        let new = Member {
            digest: digest(&member.to_le_bytes()),
            ..Member::default()
        };
        if self.members[member].replace(new).is_none() {
            self.count += 1;
        }
        self.note(member);
    }

    /// The digest of a member's name, by which every router knows it; calls of a key go to the same member everywhere. Without
    /// one its number has to do.
    pub fn set_digest(&mut self, number: usize, digest: u64) {
        if let Some(Some(member)) = self.members.get_mut(number) {
            member.digest = digest;
        }
    }

    /// A member leaves for good.
    pub fn remove(&mut self, member: usize) {
        self.set_reachable(member, false, false);
        let Some(gone) = self.members.get_mut(member).and_then(Option::take) else {
            return;
        };
        self.count -= 1;
        self.ejected.set(member, false);
        self.backlogs.forget(member);
        if self.ejected.is_empty() {
            self.probe_at = None;
        }
        self.note(member);
        if let Some(functions) = gone.functions {
            self.functions.remove(member, &functions);
            self.listed = None;
        }
        self.readmit();
    }

    /// Whether sessions to a member are open, or going to be.
    pub fn set_reachable(&mut self, number: usize, is_open: bool, is_connecting: bool) {
        let Some(Some(member)) = self.members.get_mut(number) else {
            return;
        };
        if !member.is_open && !is_open {
            member.health.is_silent = false;
        }
        member.is_open = is_open;
        self.open.set(number, is_open);
        self.connecting.set(number, is_connecting);
        self.wild.set(number, is_open && member.functions.is_none());
        self.note(number);
    }

    /// A member says what it has; what it has said before does not hold any more.
    pub fn announce(&mut self, number: usize, script: u64, announcement: &Announcement) {
        let Some(Some(member)) = self.members.get_mut(number) else {
            return;
        };
        let before = member.functions.take().unwrap_or_default();
        // The new ones first, so that a function that stays keeps its number.
        let functions = self.functions.add(number, announcement);
        let stay: HashSet<u32> = functions.iter().copied().collect();
        let gone: Vec<u32> = before
            .into_iter()
            .filter(|old| !stay.contains(old))
            .collect();
        self.functions.remove(number, &gone);
        member.functions = Some(functions);
        member.script = script;
        self.wild.set(number, false);
        self.listed = None;
    }

    /// Whether a member has said what it has by this script, the last time that it has.
    #[must_use]
    pub fn knows(&self, number: usize, script: u64) -> bool {
        let member = self.members.get(number).and_then(Option::as_ref);
        member.is_some_and(|member| member.functions.is_some() && member.script == script)
    }

    /// A member has refused this call, and takes others of its function after so long.
    pub fn set_busy(&mut self, attempt: &Attempt, number: usize, after: Duration, now: Instant) {
        if let Some(function) = self.functions.get_mut(attempt.function()) {
            function.busy.set(number, after, now);
        }
    }

    /// Whether a member has said nothing for too long: it gets no calls until it does.
    pub fn set_silent(&mut self, number: usize, is_silent: bool) {
        if let Some(Some(member)) = self.members.get_mut(number) {
            member.health.is_silent = is_silent;
        }
        self.note(number);
    }

    /// Since when a member is left out, and why, where it is.
    #[must_use]
    pub fn why_ejected(&self, number: usize) -> Option<(Instant, Outlier)> {
        self.members.get(number)?.as_ref()?.health.ejected()
    }

    /// Whether a member can be reached and has any calls.
    #[must_use]
    pub fn is_well(&self, number: usize) -> bool {
        self.well.get(number).copied().unwrap_or_default()
    }

    /// How many functions a member has, and by which script, where it has said so.
    #[must_use]
    pub fn has(&self, number: usize) -> Option<(usize, u64)> {
        let member = self.members.get(number)?.as_ref()?;
        Some((member.functions.as_ref()?.len(), member.script))
    }

    /// One of so many shards of a member, as far as there are sessions to them, says with the outcome of a call what it has to do.
    pub fn set_load(&mut self, number: usize, shards: usize, load: Load, now: Instant) {
        if let Some(Some(member)) = self.members.get_mut(number) {
            member.load.report(load, shards, now);
            if let Some(us) = member.load.others_us_of_interval(now) {
                self.others_us.note(us);
            }
            self.compare(number, load, shards, now);
        }
    }

    /// Whether a member takes no new calls for now, as it says itself.
    pub fn set_draining(&mut self, number: usize, is_draining: bool) {
        if let Some(Some(member)) = self.members.get_mut(number) {
            member.health.is_draining = is_draining;
        }
        self.note(number);
    }

    /// Whether some member has said what it has.
    #[must_use]
    pub fn has_functions(&self) -> bool {
        !self.functions.is_empty()
    }

    /// Whether all that can be reached have.
    #[must_use]
    pub fn have_all_said(&self) -> bool {
        self.wild.is_empty()
    }

    /// Members that can be reached.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Whether none can be reached, nor may be soon.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.open.is_empty() && self.connecting.is_empty()
    }

    /// The number of a function that some member has.
    #[must_use]
    #[inline]
    pub fn find(&self, name: &str) -> Option<FunctionNumber> {
        self.functions.find(name)
    }

    /// Whether others have the function of a call that this member says it has not: it has another script since the call was
    /// put on it. Where the call has no further try, that is no reason to tell its caller that the function does not exist.
    #[must_use]
    pub fn others_have(&self, attempt: &Attempt, number: usize) -> bool {
        let function = self.functions.get(attempt.function());
        function.is_some_and(|function| {
            function.members.len() > usize::from(function.members.contains(number))
        })
    }

    /// What the driver has marked a function with.
    #[must_use]
    #[inline]
    pub fn mark(&self, function: FunctionNumber) -> Option<usize> {
        self.functions.get(function)?.mark.map(|mark| mark as usize)
    }

    /// Marks the function of this name, where some member has it, with a number of the driver's own.
    pub fn set_mark(&mut self, name: &str, mark: usize) {
        let function = self.functions.find(name);
        if let Some(function) = function.and_then(|function| self.functions.get_mut(function)) {
            function.mark = u32::try_from(mark).ok();
        }
    }

    /// The first few names of the functions that members have, for the errors of callers who ask for another.
    pub fn names(&mut self) -> &str {
        let functions = &self.functions;
        self.listed.get_or_insert_with(|| functions.first_names())
    }

    /// A call is made for the first time.
    #[inline]
    pub fn on_call(&mut self) {
        self.budget.on_call();
    }

    /// Notes whether a member can have any call.
    fn note(&mut self, number: usize) {
        let member = self.members.get(number).and_then(Option::as_ref);
        let is_well = member.is_some_and(|member| member.is_open && member.health.is_well());
        if number >= self.well.len() {
            self.well.resize(number + 1, false);
        }
        self.well[number] = is_well;
    }

    /// A call has ended on a member; gives why that is left out and for how long, where this was the failure too many.
    #[inline]
    pub fn ended(
        &mut self,
        attempt: &Attempt,
        number: usize,
        ending: Ending,
        now: Instant,
    ) -> Option<(Outlier, Duration)> {
        let Some(Some(member)) = self.members.get_mut(number) else {
            return None;
        };
        if ending == Ending::Erred
            && attempt.is_counted
            && self.balance == Balance::LeastLoaded
            && let Some(function) = self.functions.get_mut(attempt.function())
        {
            function.errors.note(number, true, now);
        }
        match ending {
            Ending::Worked | Ending::Erred => {
                let was_ejected = member.health.is_ejected();
                if member.health.worked(attempt.is_probe, now) {
                    return self.eject_for(Some(Outlier::Slow), number, now);
                }
                if was_ejected && !member.health.is_ejected() {
                    self.ejected.set(number, false);
                    if self.ejected.is_empty() {
                        self.probe_at = None;
                    }
                    self.note(number);
                }
                None
            }
            Ending::Failed => {
                member.load.failed(now);
                let why = member.health.failed(attempt.is_probe);
                self.eject_for(why, number, now)
            }
            Ending::Refused | Ending::Neutral => {
                if ending == Ending::Refused {
                    member.load.failed(now);
                    member.health.refused();
                }
                if attempt.is_probe {
                    member.health.probe_again(now);
                }
                None
            }
        }
    }

    /// Whether a call that has failed on a member may be put on another. `has_not_run` where it is certain that it has not begun.
    pub fn may_retry(&mut self, attempt: &mut Attempt, has_not_run: bool, now: Instant) -> bool {
        if !has_not_run && (attempt.may_have_been_run() >= RUNS_MAX || !attempt.may_run_twice()) {
            return false;
        }
        if attempt.is_unsent() {
            return !attempt.is_unsent_too_often();
        }
        usize::from(attempt.tries) < TRIES_MAX && self.budget.take(now)
    }

    /// Has a second member asked after the time that so many percent of a function's calls take.
    pub fn set_hedge(&mut self, percent: Option<u8>) {
        self.hedge_percent = percent;
    }

    /// How long the first member of a call has before a second is asked; `None` where none is, or too little is known.
    #[must_use]
    pub fn hedge_delay(&self, attempt: &Attempt) -> Option<Duration> {
        self.hedge_percent?;
        let function = self.functions.get(attempt.function())?;
        function.latencies.as_ref()?.delay()
    }

    /// A call has taken so long, from when it was first put on a member.
    pub fn note_latency(&mut self, attempt: &Attempt, took: Duration) {
        if let Some(percent) = self.hedge_percent
            && let Some(function) = self.functions.get_mut(attempt.function())
        {
            let latencies = function.latencies.get_or_insert_default();
            latencies.note(took, percent);
        }
    }

    /// A call that had this behind it, and might have been put on another member, has not been, as there is none.
    pub fn was_not_retried(&mut self, attempt: &Attempt) {
        if !attempt.is_unsent() {
            self.budget.give_back();
        }
    }
}

#[cfg(test)]
mod tests;
