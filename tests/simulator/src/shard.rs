//! A shard of an orchestrator: the router that orchestrators have, and around it what `net/dial` of madrpc-shard does, without
//! sockets.

use crate::agenda::{Answer, Event, Reply, Request, Session, Time};
use crate::choice::{Choice, Policy};
use crate::early::Early;
use crate::ledger::{End, Pending};
use crate::scenario::Flaw;
use crate::world::{Io, Told};
use madrpc_core::balance::Backoff;
use madrpc_core::call::ErrorKind;
use madrpc_core::fleet::{
    Attempt, Ending, Neighbours, NoMember, Router, SWEEP_INTERVAL, Took, Watch, is_passing,
};
use madrpc_core::limits::DEADLINE_GRACE;
use std::collections::BTreeSet;

/// Calls on one session that its node has not acknowledged, beyond which no further is put on it: it stands for bytes.
pub(crate) const BACKLOG_MAX: u32 = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Down,
    Connecting,
    Open,
    /// The node takes no new calls, or is no member any more.
    Leaving,
}

/// The session to a node, or the place of one: the router's number of the member is its place.
pub(crate) struct Link {
    pub(crate) node: u32,
    pub(crate) state: State,
    pub(crate) epoch: u32,
    /// Since when it is known on the session that the node has each function; `Time::MAX` where it has it not.
    pub(crate) known_since: Vec<Time>,
    /// The calls on it without an outcome, in the order in which they were sent.
    pub(crate) calls: BTreeSet<(u32, u32)>,
    pub(crate) sent: u32,
    /// How many of them the node has taken, where it takes no more.
    pub(crate) taken: Option<u64>,
    /// What it has not acknowledged.
    pub(crate) unread: u32,
    /// What is sent once the handshake is over.
    pub(crate) unsent: Vec<Request>,
    pub(crate) watch: Watch,
    pub(crate) received_at: Time,
    pub(crate) is_silent: bool,
    pub(crate) backoff: Backoff,
    pub(crate) is_gone: bool,
}

impl Link {
    /// Which of the small calls on its session the next one is; 0 for a large one.
    pub(crate) fn next_sequence(&mut self, is_large: bool) -> u32 {
        if is_large {
            return 0;
        }
        self.sent += 1;
        self.sent
    }
}

/// An error as the router is asked about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Error {
    pub(crate) kind: ErrorKind,
    pub(crate) may_have_run: bool,
}

impl Error {
    /// The same of a call that another member may have run before.
    fn of(self, call: u32, io: &Io) -> Self {
        let pending = io.ledger.calls[call as usize].pending;
        let has_run = pending.is_some_and(|pending| pending.attempt.may_have_run());
        Self {
            may_have_run: self.may_have_run || has_run,
            ..self
        }
    }
}

pub(crate) struct Shard {
    pub(crate) number: u32,
    pub(crate) router: Router,
    pub(crate) links: Vec<Link>,
    /// Members that have not left.
    pub(crate) there: usize,
    pub(crate) choice: Choice,
    pub(crate) early: Early,
    pub(crate) flaw: Flaw,
    /// Which nodes it has, where that are not all.
    pub(crate) neighbours: Option<Neighbours>,
}

impl Shard {
    pub(crate) fn new(number: u32, policy: Policy, flaw: Flaw, io: &Io) -> Self {
        let mut router = Router::new(io.agenda.instant());
        router.set_balance(policy.balance());
        Self {
            number,
            router,
            links: Vec::new(),
            there: 0,
            choice: Choice::new(policy),
            early: Early::default(),
            flaw,
            neighbours: None,
        }
    }

    pub(crate) fn lost(&mut self, call: u32, may_have_run: bool, io: &mut Io) {
        if self.flaw == Flaw::ForgetsLost {
            return self.forget(call, Ending::Neutral, None, io);
        }
        let error = Error {
            kind: ErrorKind::Unavailable,
            may_have_run,
        };
        if !self.try_again(call, error, Ending::Neutral, io) {
            let error = error.of(call, io);
            self.forget(call, Ending::Neutral, None, io);
            self.tell_error(call, error, None, io);
        }
    }

    pub(crate) fn sweep(&mut self, io: &mut Io) {
        self.router.sweep(io.agenda.instant());
        let shard = self.number;
        let interval = SWEEP_INTERVAL.as_nanos() as Time;
        io.agenda.after(interval, Event::Sweep { shard });
    }

    /// A call comes from outside.
    pub(crate) fn call(&mut self, call: u32, name: &str, io: &mut Io) {
        let has_others = self.there > 1;
        let function = has_others.then(|| self.router.find(name)).flatten();
        let may_repeat = io.ledger.calls[call as usize].may_repeat;
        let mut attempt = Attempt::new(function, may_repeat);
        if has_others {
            self.router.on_call();
        }
        match self.pick(call, &mut attempt, io) {
            Ok(number) => {
                let deadline = io.ledger.calls[call as usize].deadline;
                let deadline = deadline + DEADLINE_GRACE.as_nanos() as Time;
                if self.flaw != Flaw::ForgetsDeadlines {
                    io.agenda.at(deadline, Event::Deadline(call));
                }
                if !has_others {
                    io.ledger.calls[call as usize].is_sent_once = true;
                }
                self.send(call, number, attempt, io);
            }
            Err((error, why)) => self.tell_error(call, error, why, io),
        }
    }

    pub(crate) fn pick(
        &mut self,
        call: u32,
        attempt: &mut Attempt,
        io: &mut Io,
    ) -> Result<usize, (Error, Option<NoMember>)> {
        let now = io.agenda.instant();
        if self.router.is_cut_off() {
            self.choose(io);
        }
        let Self {
            router,
            links,
            choice,
            ..
        } = self;
        let wanted = choice.pick(links, attempt, &mut io.random);
        let key = io.ledger.calls[call as usize].key;
        let mut behind = 0;
        let picked = router.pick(
            attempt,
            now,
            || key,
            |number, _| {
                if wanted.is_some_and(|wanted| wanted != number) {
                    return None;
                }
                let is_behind = links[number].unread >= BACKLOG_MAX;
                behind += usize::from(is_behind);
                (!is_behind).then_some(())
            },
        );
        let (kind, why) = match picked {
            Ok((number, ())) => return Ok(number),
            Err(_) if behind > 0 => (ErrorKind::Overloaded, None),
            Err(NoMember::NoSuchFunction) if self.there > 0 => {
                (ErrorKind::NoSuchFunction, Some(NoMember::NoSuchFunction))
            }
            Err(why) => (ErrorKind::Unavailable, Some(why)),
        };
        let may_have_run = false;
        Err((Error { kind, may_have_run }, why))
    }

    fn send(&mut self, call: u32, number: usize, mut attempt: Attempt, io: &mut Io) {
        let known = &mut io.ledger.calls[call as usize];
        let link = &mut self.links[number];
        let sequence = link.next_sequence(known.is_large);
        link.calls.insert((sequence, call));
        self.router.begun(&mut attempt, number);
        self.choice.begun(number);
        let is_first = known.sent_to.is_empty();
        known.pending = Some(Pending {
            link: number as u32,
            epoch: link.epoch,
            sequence,
            attempt,
        });
        let node = link.node;
        let member = number as u32;
        let epoch = self.links[number].epoch;
        io.ledger.sent(call, (member, node), epoch, io.agenda.now);
        self.say(number, Request::Call(call), io);
        if is_first {
            self.begin_early(call, &mut attempt, io);
            if let Some(pending) = &mut io.ledger.calls[call as usize].pending {
                pending.attempt = attempt;
            }
        }
    }

    pub(crate) fn say(&mut self, number: usize, request: Request, io: &mut Io) {
        let session = self.session(number);
        let link = &mut self.links[number];
        link.unread += 1;
        let is_new = link.watch.sent(io.agenda.instant());
        if is_new {
            self.look_later(number, io);
        }
        match self.links[number].state {
            State::Connecting => self.links[number].unsent.push(request),
            _ => io.send_to_node(session, request),
        }
    }

    /// The node has acknowledged something on a session.
    pub(crate) fn acknowledged(&mut self, session: Session, now: Time) {
        if self.is_current(session) {
            let link = &mut self.links[session.link as usize];
            link.unread = link.unread.saturating_sub(1);
            link.received_at = now;
        }
    }

    /// Something has come on a session.
    pub(crate) fn receive(&mut self, session: Session, reply: Reply, io: &mut Io) {
        if !self.is_current(session) {
            return;
        }
        let number = session.link as usize;
        self.links[number].received_at = io.agenda.now;
        match reply {
            Reply::Closed => self.lose(number, true, io),
            Reply::GoAway(taken) => self.leave(number, taken, io),
            Reply::Functions(script) => {
                let (stamp, announcement) = io.announcement(script);
                if !self.links[number].is_gone && !self.router.knows(number, stamp) {
                    self.router.announce(number, stamp, announcement);
                }
                io.note_functions(script, &mut self.links[number].known_since);
                if self.neighbours.is_some() {
                    io.learn(self.number, session.node, script);
                    self.choose(io);
                }
            }
            Reply::Answer {
                call,
                answer,
                took,
                load,
            } => {
                let is_awaited = self.is_on(call, session, io);
                self.answered(session, call, answer, took, io);
                if let Some(load) = load.filter(|_| is_awaited) {
                    self.router.set_load(number, 1, load, io.agenda.instant());
                }
            }
        }
    }

    /// Whether a call without an outcome is on this session, as the first of those that were asked or as the second.
    fn is_on(&self, call: u32, session: Session, io: &Io) -> bool {
        let pending = io.ledger.calls[call as usize].pending;
        let is_first = |pending: Pending| pending.is_on(session);
        pending.is_some_and(is_first) || self.is_on_second(call, session)
    }

    fn answered(&mut self, session: Session, call: u32, answer: Answer, took: Took, io: &mut Io) {
        io.ledger.over_at(call, session.link, session.epoch);
        let known = &io.ledger.calls[call as usize];
        let is_its = |pending: Pending| pending.is_on(session);
        if !known.pending.is_some_and(is_its) && self.flaw != Flaw::AnswersTwice {
            if known.pending.is_none() || !self.is_on_second(call, session) {
                return;
            }
            // What one of two cannot take, the other has.
            let passing = match answer {
                Answer::NoSuchFunction => Some(ErrorKind::NoSuchFunction),
                Answer::Overloaded => Some(ErrorKind::Overloaded),
                Answer::Unavailable => Some(ErrorKind::Unavailable),
                _ => None,
            };
            if let Some(kind) = passing {
                return self.end_second(call, Ending::of_failure(kind, false), io);
            }
            self.second_was_first(call, io);
        }
        let kind = match answer {
            Answer::Result => None,
            Answer::Thrown => Some(ErrorKind::JavaScript),
            Answer::Internal => Some(ErrorKind::Internal),
            Answer::NoSuchFunction => Some(ErrorKind::NoSuchFunction),
            Answer::Overloaded => Some(ErrorKind::Overloaded),
            Answer::Unavailable => Some(ErrorKind::Unavailable),
            Answer::DeadlineExceeded => Some(ErrorKind::DeadlineExceeded),
        };
        let Some(kind) = kind else {
            self.forget(call, Ending::Worked, Some(took), io);
            return io.tell(call, End::Result);
        };
        let ending = Ending::of_failure(kind, false);
        let error = Error {
            kind,
            may_have_run: !is_passing(kind) && kind != ErrorKind::Internal,
        };
        if is_passing(kind) && self.try_again(call, error, ending, io) {
            return;
        }
        let mut error = error.of(call, io);
        let attempt = io.ledger.calls[call as usize]
            .pending
            .map(|pending| pending.attempt);
        if let Some(attempt) = attempt
            && kind == ErrorKind::NoSuchFunction
            && self.router.others_have(&attempt, session.link as usize)
        {
            error.kind = ErrorKind::Unavailable;
        }
        self.forget(call, ending, None, io);
        match answer {
            Answer::Thrown => io.tell(call, End::Thrown),
            _ => self.tell_error(call, error, None, io),
        }
    }

    /// A call has ended so on its member, and is not tried again.
    fn forget(&mut self, call: u32, ending: Ending, took: Option<Took>, io: &mut Io) {
        self.end_early(call, took.is_some(), io);
        let Some(pending) = io.ledger.calls[call as usize].pending.take() else {
            return;
        };
        let number = pending.link as usize;
        self.links[number].calls.remove(&(pending.sequence, call));
        let now = io.agenda.instant();
        self.choice.left(number, took);
        self.router.left(&pending.attempt, number, took, now);
        self.router.ended(&pending.attempt, number, ending, now);
    }

    /// Puts a call on another member, where it has failed so and may have another try; says whether it was.
    pub(crate) fn try_again(
        &mut self,
        call: u32,
        error: Error,
        ending: Ending,
        io: &mut Io,
    ) -> bool {
        let known = &io.ledger.calls[call as usize];
        let Some(tried) = known.pending.filter(|_| !known.is_sent_once) else {
            return false;
        };
        let (deadline, function) = (known.deadline, known.function);
        // It is on another already.
        if self.go_over(call, ending, io) {
            return true;
        }
        let has_not_run = !error.may_have_run || self.flaw == Flaw::TakesAllForNotRun;
        let mut attempt = tried.attempt;
        let now = io.agenda.instant();
        let may_retry = self.router.may_retry(&mut attempt, has_not_run, now);
        if !may_retry && self.flaw != Flaw::RetriesAll {
            return false;
        }
        attempt.set_function(self.router.find(io.name(function)));
        let picked = match io.agenda.now < deadline {
            true => self.pick(call, &mut attempt, io).ok(),
            false => None,
        };
        let Some(to) = picked else {
            self.router.was_not_retried(&tried.attempt);
            return false;
        };
        let from = tried.link as usize;
        self.links[from].calls.remove(&(tried.sequence, call));
        self.router.left(&tried.attempt, from, None, now);
        self.choice.left(from, None);
        self.router.ended(&tried.attempt, from, ending, now);
        self.send(call, to, attempt, io);
        true
    }

    fn tell_error(&self, call: u32, error: Error, why: Option<NoMember>, io: &mut Io) {
        let Error { kind, may_have_run } = error;
        io.told.push(Told { call, kind, why });
        io.tell(call, End::Error { kind, may_have_run });
    }

    pub(crate) fn deadline(&mut self, call: u32, io: &mut Io) {
        if io.ledger.calls[call as usize].pending.is_none() {
            return;
        }
        self.cancel(call, io);
        let kind = ErrorKind::DeadlineExceeded;
        let may_have_run = true;
        self.tell_error(call, Error { kind, may_have_run }, None, io);
    }

    /// Gives a call up: its node is told.
    pub(crate) fn cancel(&mut self, call: u32, io: &mut Io) {
        let Some(pending) = io.ledger.calls[call as usize].pending else {
            return;
        };
        self.forget(call, Ending::Neutral, None, io);
        let number = pending.link as usize;
        if self.links[number].epoch == pending.epoch && self.links[number].state != State::Down {
            io.ledger.over_at(call, pending.link, pending.epoch);
            self.say(number, Request::Cancel(call), io);
        }
    }
}
