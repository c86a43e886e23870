//! What a shard does before a call's deadline, where its node has not answered: it asks a second one as well, or in the place of the
//! first. The same as `net/dial/early.rs` of madrpc-shard.

use crate::agenda::{Event, MS, Request, Session, Time};
use crate::ledger::Pending;
use crate::scenario::Flaw;
use crate::shard::{Error, Shard, State};
use crate::world::Io;
use madrpc_core::call::ErrorKind;
use madrpc_core::fleet::{Attempt, Ending};
use std::collections::HashMap;
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Early {
    pub(crate) hedges: bool,
    pub(crate) try_timeout: Option<Time>,
    /// The second members of calls that two were asked for.
    seconds: HashMap<u32, Pending>,
    /// A call of which it is seen how long it takes, and since when it is under way.
    sample: Option<(u32, Time)>,
}

impl Early {
    /// Whether a call has this link as its second: its number may be given to no other meanwhile.
    pub(crate) fn has_second_on(&self, link: usize) -> bool {
        let mut seconds = self.seconds.values();
        seconds.any(|second| second.link as usize == link)
    }

    const fn is_off(&self) -> bool {
        self.try_timeout.is_none() && !self.hedges
    }
}

impl Shard {
    /// A call was just put on its first member: when something else is done for it, where it is.
    pub(crate) fn begin_early(&mut self, call: u32, attempt: &mut Attempt, io: &mut Io) {
        if self.early.hedges && self.early.sample.is_none() && attempt.may_run_twice() {
            self.early.sample = Some((call, io.agenda.now));
        }
        let may = attempt.may_run_twice() || self.flaw == Flaw::HedgesAll;
        if self.early.is_off() || io.ledger.calls[call as usize].is_sent_once || !may {
            return;
        }
        let hedge = match self.early.hedges {
            true => self.router.hedge_delay(attempt),
            false => None,
        };
        let hedge = hedge.map(|hedge| hedge.as_nanos() as Time);
        let hedge = hedge.filter(|hedge| self.early.try_timeout.is_none_or(|most| *hedge < most));
        if hedge.is_some() {
            attempt.will_be_hedged();
        }
        if let Some(wait) = hedge.or(self.early.try_timeout) {
            io.agenda.after(wait, Event::Early(call));
        }
    }

    /// The time has come.
    pub(crate) fn early(&mut self, call: u32, io: &mut Io) {
        let known = &mut io.ledger.calls[call as usize];
        let (deadline, Some(pending)) = (known.deadline, &mut known.pending) else {
            return;
        };
        if io.agenda.now >= deadline {
            return;
        }
        let before = *pending;
        let mut is_again = true;
        if self.early.hedges && before.attempt.awaits_hedge() {
            pending.attempt.hedge_is_over();
            if before.attempt.is_first() {
                self.hedge(call, io);
            }
        } else {
            let error = Error {
                kind: ErrorKind::Unavailable,
                may_have_run: true,
            };
            is_again = self.try_again(call, error, Ending::Neutral, io);
            if is_again {
                self.tell_gone(call, before, io);
            }
        }
        if is_again && let Some(wait) = self.early.try_timeout {
            io.agenda.after(wait, Event::Early(call));
        }
    }

    /// Puts a call on a second member, and leaves it on the first.
    fn hedge(&mut self, call: u32, io: &mut Io) {
        let known = &io.ledger.calls[call as usize];
        let Some(Pending { attempt, .. }) = known.pending else {
            return;
        };
        let (function, is_large) = (known.function, known.is_large);
        let now = io.agenda.instant();
        let mut second = attempt;
        let may = self.router.may_retry(&mut second, false, now);
        if !may && self.flaw != Flaw::HedgesAll {
            return;
        }
        second.set_function(self.router.find(io.name(function)));
        let Ok(number) = self.pick(call, &mut second, io) else {
            return self.router.was_not_retried(&attempt);
        };
        let link = &mut self.links[number];
        let (epoch, node, sequence) = (link.epoch, link.node, link.next_sequence(is_large));
        self.router.begun(&mut second, number);
        self.choice.begun(number);
        if let Some(pending) = &mut io.ledger.calls[call as usize].pending {
            pending.attempt.has_second(&second);
        }
        let place = number as u32;
        let second = Pending {
            link: place,
            epoch,
            sequence,
            attempt: second,
        };
        self.early.seconds.insert(call, second);
        io.ledger.sent(call, (place, node), epoch, io.agenda.now);
        self.say(number, Request::Call(call), io);
    }

    /// Whether a call is on this session as well.
    pub(crate) fn is_on_second(&self, call: u32, session: Session) -> bool {
        let second = self.early.seconds.get(&call);
        second.is_some_and(|second| second.is_on(session))
    }

    /// The second member that a call is on stands for it alone from now on; says whether there was one.
    pub(crate) fn go_over(&mut self, call: u32, ending: Ending, io: &mut Io) -> bool {
        let Some(second) = self.early.seconds.remove(&call) else {
            return false;
        };
        let now = io.agenda.instant();
        let number = second.link as usize;
        let link = &mut self.links[number];
        if link.epoch != second.epoch || link.state == State::Down {
            self.router.left(&second.attempt, number, None, now);
            self.router
                .ended(&second.attempt, number, Ending::Neutral, now);
            self.choice.left(number, None);
            return false;
        }
        link.calls.insert((second.sequence, call));
        let tried = io.ledger.calls[call as usize].pending.replace(second);
        if let Some(tried) = tried {
            let from = tried.link as usize;
            self.links[from].calls.remove(&(tried.sequence, call));
            self.router.left(&tried.attempt, from, None, now);
            self.choice.left(from, None);
            self.router.ended(&tried.attempt, from, ending, now);
        }
        true
    }

    /// The second member of a call has answered first: the first one need not any more.
    pub(crate) fn second_was_first(&mut self, call: u32, io: &mut Io) {
        let first = io.ledger.calls[call as usize].pending;
        if self.go_over(call, Ending::Neutral, io)
            && let Some(first) = first
        {
            self.tell_gone(call, first, io);
        }
    }

    /// The second member of a call will not answer it, or need not.
    pub(crate) fn end_second(&mut self, call: u32, ending: Ending, io: &mut Io) {
        let Some(second) = self.early.seconds.remove(&call) else {
            return;
        };
        let (number, now) = (second.link as usize, io.agenda.instant());
        self.router.left(&second.attempt, number, None, now);
        self.choice.left(number, None);
        self.router.ended(&second.attempt, number, ending, now);
        self.tell_gone(call, second, io);
    }

    /// A call is over, with a result or without.
    pub(crate) fn end_early(&mut self, call: u32, has_result: bool, io: &mut Io) {
        self.end_second(call, Ending::Neutral, io);
        if let Some((sampled, since)) = self.early.sample
            && sampled == call
        {
            self.early.sample = None;
            let attempt = io.ledger.calls[call as usize]
                .pending
                .map(|one| one.attempt);
            if has_result && let Some(attempt) = attempt {
                let took = Duration::from_nanos(io.agenda.now - since);
                self.router.note_latency(&attempt, took);
            }
        }
    }

    /// Tells the node that a call was on, on this session, that nobody waits for it any more.
    pub(crate) fn tell_gone(&mut self, call: u32, on: Pending, io: &mut Io) {
        let number = on.link as usize;
        let link = &self.links[number];
        if link.epoch == on.epoch && link.state != State::Down && self.flaw != Flaw::LeavesSecond {
            io.ledger.over_at(call, on.link, on.epoch);
            self.say(number, Request::Cancel(call), io);
        }
    }
}

/// The shortest time after which another member is asked in the place of one.
pub(crate) const TRY_TIMEOUT_MIN: Time = 2 * MS;
