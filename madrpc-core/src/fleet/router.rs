//! The members, who of them gets a call, and whether a call that failed is tried again.

use super::budget::RetryBudget;
use super::functions::{FunctionNumber, Functions};
use super::health::{Health, Worth};
use super::load::{MemberLoad, Units};
use crate::balance::{Members, RoundRobin};
use crate::call::Announcement;
use crate::numbers::later;
use std::time::{Duration, Instant};

/// Members that a call is put on, one after the other: with every one that it was put on, it gets less likely that the next
/// will do.
const TRIES_MAX: usize = 3;

/// Members that may run one call: one that ends every node it runs on is not carried through the fleet.
const RUNS_MAX: u8 = 2;

/// How soon another look is made for a member to be tried, where none was found.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);

/// Members that such a look goes through.
const LOOKS_MAX: usize = 32;

/// The number of no function.
const UNKNOWN: u32 = u32::MAX;

/// Which of the members that have a function gets a call of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one that is expected to be through with it first.
    LeastLoaded,
}

impl Balance {
    /// Their names, in settings.
    pub const NAMES: [&str; 2] = ["round-robin", "least-loaded"];

    /// The one of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "round-robin" => Some(Self::RoundRobin),
            "least-loaded" => Some(Self::LeastLoaded),
            _ => None,
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
    ejected: Members,
    /// When the next of those may be tried.
    probe_at: Option<Instant>,
    /// The most of them that may be left out for failing, as a share.
    max_ejected: f64,
    balance: Balance,
    budget: RetryBudget,
    /// The first few names of functions, where somebody asked for them since they changed.
    listed: Option<String>,
}

#[derive(Debug, Default)]
struct Member {
    health: Health,
    load: MemberLoad,
    is_open: bool,
    is_connecting: bool,
    /// The numbers of its functions, once it has said what it has.
    functions: Option<Vec<u32>>,
    script: u64,
}

/// What a call has gone through.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// The function's number, or [`UNKNOWN`].
    function: u32,
    /// Those that it was put on before the last try there may be.
    tried: [u32; TRIES_MAX - 1],
    tries: u8,
    /// How many of them may have run it.
    runs: u8,
    may_repeat: bool,
    is_probe: bool,
    /// Whether it counts at the member that it is on.
    is_counted: bool,
    /// What it counts for at the member that it is on.
    units: Units,
}

/// How a call has ended, as far as it tells something about the member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With a result, or by a fault of the call's or the function's own.
    Worked,
    /// By a fault of the member.
    Failed,
    /// It says nothing: the caller gave it up, its session was lost, or there was too much to do.
    Neutral,
}

/// Why no member can be given a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoMember {
    /// All that can be reached have said what they have, and none has it.
    NoSuchFunction,
    /// None can be reached that might have it, or all that can be were tried or cannot take more.
    Unavailable,
}

impl Attempt {
    /// Of a call that was not put on a member yet. `may_repeat` where it may run twice whatever its function was registered as.
    #[must_use]
    pub fn new(function: Option<FunctionNumber>, may_repeat: bool) -> Self {
        Self {
            function: match function {
                Some(FunctionNumber(number)) => number,
                None => UNKNOWN,
            },
            tried: [u32::MAX; TRIES_MAX - 1],
            tries: 0,
            runs: 0,
            may_repeat,
            is_probe: false,
            is_counted: false,
            units: Units::default(),
        }
    }

    /// Which try the next is, beginning with 0.
    #[must_use]
    pub const fn number(&self) -> u8 {
        self.tries
    }

    fn put_on(&mut self, member: usize, is_probe: bool) {
        if let Some(place) = self.tried.get_mut(usize::from(self.tries)) {
            *place = member as u32;
        }
        self.tries = self.tries.saturating_add(1);
        self.is_probe = is_probe;
    }

    #[inline]
    fn function(&self) -> FunctionNumber {
        FunctionNumber(self.function)
    }

    #[inline]
    fn was_put_on(&self, member: usize) -> bool {
        let count = usize::from(self.tries).min(self.tried.len());
        let tried = self.tried.get(..count).unwrap_or_default();
        tried.contains(&(member as u32))
    }
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
            ejected: Members::default(),
            probe_at: None,
            max_ejected: 0.5,
            balance: Balance::default(),
            budget: RetryBudget::new(now),
            listed: None,
        }
    }

    /// Goes by this from now on.
    pub fn set_balance(&mut self, balance: Balance) {
        self.balance = balance;
    }

    /// A member comes, under a number that no other has.
    pub fn add(&mut self, member: usize) {
        if member >= self.members.len() {
            self.members.resize_with(member + 1, || None);
        }
        if self.members[member].replace(Member::default()).is_none() {
            self.count += 1;
        }
        self.note(member);
    }

    /// A member leaves for good.
    pub fn remove(&mut self, member: usize) {
        self.set_reachable(member, false, false);
        let Some(gone) = self.members.get_mut(member).and_then(Option::take) else {
            return;
        };
        self.count -= 1;
        self.ejected.set(member, false);
        self.note(member);
        if let Some(functions) = gone.functions {
            self.functions.remove(member, &functions);
            self.listed = None;
        }
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
        member.is_connecting = is_connecting;
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
        let gone: Vec<u32> = before
            .into_iter()
            .filter(|old| !functions.contains(old))
            .collect();
        self.functions.remove(number, &gone);
        member.functions = Some(functions);
        member.script = script;
        self.wild.set(number, false);
        self.listed = None;
    }

    /// Whether a member has said nothing for too long: it gets no calls until it does.
    pub fn set_silent(&mut self, number: usize, is_silent: bool) {
        if let Some(Some(member)) = self.members.get_mut(number) {
            member.health.is_silent = is_silent;
        }
        self.note(number);
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

    /// The member that a call is put on, and what `usable` makes of it; it is told whether the member's sessions are open, and
    /// gives `None` for one that cannot take the call. Those that the call was put on before are left out.
    ///
    /// # Errors
    /// Where there is none.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "it is the way of every call, and its caller has the only closure for it"
    )]
    pub fn pick<P>(
        &mut self,
        attempt: &mut Attempt,
        now: Instant,
        mut usable: impl FnMut(usize, bool) -> Option<P>,
    ) -> Result<(usize, P), NoMember> {
        if self.probe_at.is_some_and(|at| now >= at)
            && let Some(probed) = self.pick_probe(attempt, now, &mut usable)
        {
            return Ok(probed);
        }
        if self.balance == Balance::LeastLoaded
            && let Some(picked) = self.pick_least_loaded(attempt, now, &mut usable)
        {
            return Ok(picked);
        }
        let well = &self.well;
        let function = self.functions.get_mut(attempt.function());
        let turns = match function {
            Some(function) => &mut function.members,
            // The only one there is says itself that it does not have it, and knows more.
            None if self.count == 1 => &mut self.open,
            None => &mut self.wild,
        };
        // Nearly always it is the next one.
        let picked = turns.pick(|number| {
            let is_well = well.get(number).copied().unwrap_or_default();
            match is_well && !attempt.was_put_on(number) {
                true => usable(number, true),
                false => None,
            }
        });
        match picked {
            Some((number, picked)) => {
                attempt.put_on(number, false);
                Ok((number, picked))
            }
            None => self.pick_other(attempt, now, &mut usable),
        }
    }

    /// The member that is expected to be through with the call first.
    fn pick_least_loaded<P>(
        &mut self,
        attempt: &mut Attempt,
        now: Instant,
        usable: &mut dyn FnMut(usize, bool) -> Option<P>,
    ) -> Option<(usize, P)> {
        let function = self.functions.get_mut(attempt.function())?;
        let units = function.cost.units();
        let number = function.members.least(|number| {
            let member = self.members.get(number)?.as_ref()?;
            let is_well = self.well.get(number).copied().unwrap_or_default();
            let is_candidate = is_well && !attempt.was_put_on(number);
            is_candidate.then(|| member.load.score(units, now))
        })?;
        let picked = usable(number, true)?;
        attempt.put_on(number, false);
        Some((number, picked))
    }

    /// A call was put on the member that was picked for it.
    #[inline]
    pub fn begun(&mut self, attempt: &mut Attempt, number: usize) {
        if self.balance == Balance::LeastLoaded
            && let Some(function) = self.functions.get(attempt.function())
            && let Some(Some(member)) = self.members.get_mut(number)
        {
            attempt.units = function.cost.units();
            attempt.is_counted = true;
            member.load.begin(attempt.units);
        }
    }

    /// A call that has begun on a member is not there any more. `took_us` is what it took there by its bill, where it has one: the
    /// time that it waited for a lane and that it had the core.
    #[inline]
    pub fn left(&mut self, attempt: &Attempt, number: usize, took_us: Option<u64>, now: Instant) {
        if !attempt.is_counted {
            return;
        }
        let Some(Some(member)) = self.members.get_mut(number) else {
            return;
        };
        member.load.end(attempt.units);
        if let Some(took) = took_us
            && let Some(function) = self.functions.get_mut(attempt.function())
        {
            let took = took as f32;
            member.load.took(took, function.cost, now);
            function.cost.note(took);
        }
    }

    /// A member that was left out, and whose time for that is over: one call sees whether it works.
    #[cold]
    fn pick_probe<P>(
        &mut self,
        attempt: &mut Attempt,
        now: Instant,
        usable: &mut dyn FnMut(usize, bool) -> Option<P>,
    ) -> Option<(usize, P)> {
        // Not at each call, where it is not to be had.
        self.probe_at = Some(later(now, PROBE_INTERVAL));
        let function = self.functions.get(attempt.function());
        let picked = self.ejected.all().take(LOOKS_MAX).find_map(|number| {
            let member = self.members.get(number)?.as_ref()?;
            let has = function.is_none_or(|function| function.members.contains(number));
            let is_due = member.is_open && member.health.worth(now) == Worth::Probe;
            match has && is_due && !attempt.was_put_on(number) {
                true => usable(number, true).map(|picked| (number, picked)),
                false => None,
            }
        });
        let (number, _) = picked.as_ref()?;
        attempt.put_on(*number, true);
        if let Some(Some(member)) = self.members.get_mut(*number) {
            member.health.probe();
        }
        picked
    }

    /// The same, where none of those that are well can take it.
    #[cold]
    fn pick_other<P>(
        &mut self,
        attempt: &mut Attempt,
        now: Instant,
        usable: &mut dyn FnMut(usize, bool) -> Option<P>,
    ) -> Result<(usize, P), NoMember> {
        let Self {
            members,
            functions,
            open,
            connecting,
            wild,
            ..
        } = self;
        let (mut is_probe, mut is_any_well) = (false, false);
        let function = functions.get_mut(attempt.function());
        let is_known = function.is_some();
        let turns = match function {
            Some(function) => &mut function.members,
            None if self.count == 1 => &mut *open,
            None => &mut *wild,
        };
        // Those that work come first; where there is none, one that does not seem to is better than none.
        for asks_health in [true, false] {
            if !asks_health && is_any_well {
                break;
            }
            let picked = turns.pick(|number| {
                let member = members.get(number)?.as_ref()?;
                if !member.is_open || attempt.was_put_on(number) {
                    return None;
                }
                let worth = member.health.worth(now);
                if asks_health && worth == Worth::None {
                    return None;
                }
                is_any_well = true;
                let picked = usable(number, true)?;
                is_probe = asks_health && worth == Worth::Probe;
                Some(picked)
            });
            if let Some((number, picked)) = picked {
                attempt.put_on(number, is_probe);
                if is_probe && let Some(Some(member)) = self.members.get_mut(number) {
                    member.health.probe();
                }
                return Ok((number, picked));
            }
        }
        // Nobody knows yet whether they will get through, nor what they have.
        let picked = connecting.pick(|number| {
            let member = members.get(number)?.as_ref()?;
            let may_have = member.functions.is_none() || is_known;
            match may_have && !attempt.was_put_on(number) {
                true => usable(number, false),
                false => None,
            }
        });
        if let Some((number, picked)) = picked {
            attempt.put_on(number, false);
            return Ok((number, picked));
        }
        let may_be_there = is_known || self.count == 1 || open.is_empty();
        Err(
            match may_be_there || !wild.is_empty() || !connecting.is_empty() {
                true => NoMember::Unavailable,
                false => NoMember::NoSuchFunction,
            },
        )
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

    /// A call has ended on a member; gives for how long that is left out, where this was the failure too many.
    #[inline]
    pub fn ended(
        &mut self,
        attempt: &Attempt,
        number: usize,
        ending: Ending,
        now: Instant,
    ) -> Option<Duration> {
        let Some(Some(member)) = self.members.get_mut(number) else {
            return None;
        };
        match ending {
            Ending::Worked => {
                let was_ejected = member.health.is_ejected();
                member.health.worked(now);
                if was_ejected {
                    self.ejected.set(number, false);
                    if self.ejected.is_empty() {
                        self.probe_at = None;
                    }
                    self.note(number);
                }
                None
            }
            Ending::Failed => {
                let is_to_go = member.health.failed();
                // Of two or three, one may go.
                let most = ((self.count as f64 * self.max_ejected) as usize)
                    .max(usize::from(self.count > 1));
                if !is_to_go || self.ejected.len() >= most && !member.health.is_ejected() {
                    return None;
                }
                self.ejected.set(number, true);
                let time = member.health.eject(now);
                let at = later(now, time);
                self.probe_at = Some(self.probe_at.map_or(at, |before| before.min(at)));
                self.note(number);
                Some(time)
            }
            Ending::Neutral => {
                if attempt.is_probe {
                    member.health.probe_again(now);
                }
                None
            }
        }
    }

    /// Whether a call that has failed on a member may be put on another. `has_not_run` where it is certain that it has not begun.
    pub fn may_retry(
        &mut self,
        attempt: &mut Attempt,
        number: usize,
        has_not_run: bool,
        now: Instant,
    ) -> bool {
        if !has_not_run {
            attempt.runs = attempt.runs.saturating_add(1);
            let is_idempotent = || self.functions.is_idempotent(attempt.function(), number);
            if attempt.runs >= RUNS_MAX || !(attempt.may_repeat || is_idempotent()) {
                return false;
            }
        }
        usize::from(attempt.tries) < TRIES_MAX && self.budget.take(now)
    }

    /// A call that might have been put on another has not been, as there is none.
    pub fn was_not_retried(&mut self) {
        self.budget.give_back();
    }
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
