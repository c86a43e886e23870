//! A node: a core that its calls share, a queue before it, and all that can be wrong with it.
//!
//! Calls that have a lane share the core evenly, as slices do. Beyond the lanes a bounded number waits.

use crate::agenda::{Answer, Event, Reply, Request, Session, Time, US};
use crate::scenario::{Function, Lie};
use crate::world::Io;
use madrpc_core::call::Load;
use madrpc_core::fleet::Took;
use std::collections::VecDeque;

/// Calls that have begun, at the most.
const LANES: usize = 8;

/// Calls that wait for a lane, at the most.
pub(crate) const QUEUE_MAX: usize = 64;

/// Time on a core that it takes to refuse a call, or to lie.
const REFUSAL: Time = 10 * US;

struct Task {
    session: Session,
    call: u32,
    /// Time on a core of speed 1 that is left.
    left: f64,
    came_at: Time,
    /// Of what it takes in all, and has waited.
    cost: f64,
    waited: Time,
}

pub(crate) struct Node {
    number: u32,
    /// Counts its processes.
    pub(crate) incarnation: u32,
    pub(crate) is_up: bool,
    pub(crate) is_frozen: bool,
    pub(crate) is_draining: bool,
    /// Counts the times that it stopped answering.
    pub(crate) stops: u32,
    /// Since when it has answered whatever comes.
    pub(crate) well_since: Time,
    pub(crate) speed: f64,
    pub(crate) lie: Lie,
    pub(crate) script: usize,
    /// Since when it has each function without a break; `Time::MAX` where it has it not.
    pub(crate) has_since: Vec<Time>,
    /// Extra time that each of so many calls takes, as lanes are made.
    pub(crate) cold: u32,
    pub(crate) cold_cost: Time,
    running: Vec<Task>,
    queue: VecDeque<Task>,
    sessions: Vec<(Session, u64)>,
    /// When it last said on each session what it has to do.
    told: Vec<(Session, Time, Load)>,
    inbox: VecDeque<(Session, Request)>,
    /// When `left` was true.
    counted_at: Time,
    token: u32,
    /// Calls that it has begun, and the most that ever waited.
    pub(crate) begun: u64,
    pub(crate) queue_most: usize,
}

impl Node {
    pub(crate) fn new(number: u32, speed: f64, io: &Io) -> Self {
        let mut node = Self {
            number,
            incarnation: 0,
            is_up: true,
            is_frozen: false,
            is_draining: false,
            stops: 0,
            well_since: 0,
            speed,
            lie: Lie::None,
            script: 0,
            has_since: Vec::new(),
            cold: 0,
            cold_cost: 0,
            running: Vec::new(),
            queue: VecDeque::new(),
            sessions: Vec::new(),
            told: Vec::new(),
            inbox: VecDeque::new(),
            counted_at: 0,
            token: 0,
            begun: 0,
            queue_most: 0,
        };
        io.note_functions(0, &mut node.has_since);
        node
    }

    fn has(&self, function: usize) -> bool {
        self.has_since
            .get(function)
            .is_some_and(|since| *since < Time::MAX)
    }

    /// Whether a handshake comes to its end now.
    pub(crate) const fn answers(&self) -> bool {
        self.is_up && !self.is_frozen && !self.is_draining
    }

    /// A session is open.
    pub(crate) fn open(&mut self, session: Session, io: &mut Io) {
        self.sessions.push((session, 0));
        io.send_to_shard(session, Reply::Functions(self.script));
    }

    /// Another script takes the place of the one that runs; what has begun ends.
    pub(crate) fn reload(&mut self, script: usize, io: &mut Io) {
        self.script = script;
        if !self.is_up {
            return;
        }
        io.note_functions(self.script, &mut self.has_since);
        self.cold = LANES as u32;
        for (session, _) in &self.sessions {
            io.send_to_shard(*session, Reply::Functions(script));
        }
    }

    pub(crate) fn freeze(&mut self, io: &mut Io) {
        if !self.is_up || self.is_frozen {
            return;
        }
        self.count(io.agenda.now);
        self.is_frozen = true;
        self.token += 1;
        self.stop_answering(io);
    }

    /// Nobody hears from it any more: sessions end when nothing has come for long.
    fn stop_answering(&mut self, io: &mut Io) {
        self.stops += 1;
        for (session, _) in &self.sessions {
            io.agenda
                .after(io.idle_timeout, Event::Idle(*session, self.stops));
        }
    }

    pub(crate) fn thaw(&mut self, functions: &[Function], io: &mut Io) {
        if !self.is_up || !self.is_frozen {
            return;
        }
        self.is_frozen = false;
        self.counted_at = io.agenda.now;
        self.well_since = io.agenda.now;
        // What had come meanwhile, of sessions that may be over by now.
        while let Some((session, request)) = self.inbox.pop_front() {
            self.take_in(session, request, functions, io);
        }
        self.go_on(functions, io);
    }

    /// The process is gone. `is_seen` where its peers are told so, by its system; they wait in vain otherwise.
    pub(crate) fn kill(&mut self, is_seen: bool, io: &mut Io) {
        if !self.is_up {
            return;
        }
        match is_seen {
            true => {
                for (session, _) in &self.sessions {
                    io.send_to_shard(*session, Reply::Closed);
                }
            }
            false => self.stop_answering(io),
        }
        self.is_up = false;
        self.is_frozen = false;
        self.incarnation += 1;
        self.token += 1;
        self.running.clear();
        self.queue.clear();
        self.inbox.clear();
        self.sessions.clear();
        self.told.clear();
        self.has_since.fill(Time::MAX);
    }

    pub(crate) fn start(&mut self, io: &mut Io) {
        if self.is_up {
            return;
        }
        self.is_up = true;
        self.is_draining = false;
        self.well_since = io.agenda.now;
        self.counted_at = io.agenda.now;
        self.cold = LANES as u32;
        io.note_functions(self.script, &mut self.has_since);
    }

    /// It takes nothing new, and ends when it has nothing any more.
    pub(crate) fn drain(&mut self, io: &mut Io) {
        if !self.is_up || self.is_draining {
            return;
        }
        self.is_draining = true;
        for (session, taken) in &self.sessions {
            io.send_to_shard(*session, Reply::GoAway(*taken));
        }
        self.end_drain(io);
    }

    fn end_drain(&mut self, io: &mut Io) {
        if self.is_draining && !self.is_frozen && self.running.is_empty() && self.queue.is_empty() {
            self.kill(true, io);
        }
    }

    /// A shard has ended one of its sessions, or is gone: so do its calls.
    pub(crate) fn close(&mut self, session: Session, functions: &[Function], io: &mut Io) {
        self.count(io.agenda.now);
        self.sessions.retain(|(known, _)| *known != session);
        self.told.retain(|(known, ..)| *known != session);
        self.running.retain(|task| task.session != session);
        self.queue.retain(|task| task.session != session);
        self.go_on(functions, io);
    }

    /// All of its sessions break off.
    pub(crate) fn break_sessions(&mut self, functions: &[Function], io: &mut Io) {
        if self.is_frozen {
            return;
        }
        self.told.clear();
        for (session, _) in std::mem::take(&mut self.sessions) {
            io.send_to_shard(session, Reply::Closed);
        }
        self.count(io.agenda.now);
        self.running.clear();
        self.queue.clear();
        self.go_on(functions, io);
    }

    /// Something has come; says whether it is acknowledged.
    pub(crate) fn receive(
        &mut self,
        session: Session,
        request: Request,
        functions: &[Function],
        io: &mut Io,
    ) -> bool {
        if !self.sessions.iter().any(|(known, _)| *known == session) {
            return false;
        }
        if self.is_frozen {
            self.inbox.push_back((session, request));
            return false;
        }
        self.take_in(session, request, functions, io);
        true
    }

    fn take_in(&mut self, session: Session, request: Request, functions: &[Function], io: &mut Io) {
        match request {
            Request::Ping => {}
            Request::Cancel(call) => {
                self.count(io.agenda.now);
                let is_it = |task: &Task| (task.session, task.call) == (session, call);
                self.running.retain(|task| !is_it(task));
                self.queue.retain(|task| !is_it(task));
                self.go_on(functions, io);
            }
            Request::Call(call) => self.take_call(session, call, functions, io),
        }
    }

    fn take_call(&mut self, session: Session, call: u32, functions: &[Function], io: &mut Io) {
        let known = &io.ledger.calls[call as usize];
        let (function, cost, is_large) = (known.function, known.cost, known.is_large);
        let place = self
            .sessions
            .iter_mut()
            .find(|(known, _)| *known == session);
        let Some((_, taken)) = place else {
            return;
        };
        if !self.is_draining && !is_large {
            *taken += 1;
        }
        let lies = |share: f64, io: &mut Io| io.random.f64() < share;
        let refused = match self.lie {
            _ if self.is_draining => Some(Answer::Unavailable),
            Lie::Fails(share) if lies(share, io) => Some(Answer::Internal),
            Lie::Refuses(share) if lies(share, io) => Some(Answer::Overloaded),
            Lie::Throws(share) if self.has(function) && lies(share, io) => {
                self.begun += 1;
                io.ledger.begin(call, self.number, io.agenda.now);
                Some(Answer::Thrown)
            }
            _ if !self.has(function) => Some(Answer::NoSuchFunction),
            _ if io.scripts_fail(self.script) => Some(Answer::Internal),
            _ if self.running.len() >= LANES && self.queue.len() >= QUEUE_MAX => {
                Some(Answer::Overloaded)
            }
            _ => None,
        };
        if let Some(answer) = refused {
            return self.answer(session, call, answer, None, io);
        }
        let cost = match self.cold {
            0 => cost,
            _ => {
                self.cold -= 1;
                cost + self.cold_cost
            }
        };
        self.count(io.agenda.now);
        self.queue.push_back(Task {
            session,
            call,
            left: cost as f64,
            came_at: io.agenda.now,
            cost: cost as f64,
            waited: 0,
        });
        self.queue_most = self.queue_most.max(self.queue.len());
        self.go_on(functions, io);
    }

    /// `took` is nothing of a call that has not begun.
    fn answer(
        &mut self,
        session: Session,
        call: u32,
        answer: Answer,
        took: Option<Took>,
        io: &mut Io,
    ) {
        let wait = if took.is_none() { REFUSAL } else { 0 };
        let load = self.load_to_tell(session, io);
        let reply = Reply::Answer {
            call,
            answer,
            took: took.unwrap_or_default(),
            load,
        };
        io.send_to_shard_after(wait, session, reply);
    }

    /// What it has to do, where that is to be said on this session: it has changed, and was not said just before.
    fn load_to_tell(&mut self, session: Session, io: &Io) -> Option<Load> {
        let interval = io.load_interval?;
        let tasks = self.running.iter().chain(&self.queue);
        let expected: f64 = tasks.map(|task| io.cost(task.call) / self.speed).sum();
        let load = Load {
            running: self.running.len() as u32,
            queued: self.queue.len() as u32,
            expected_us: (expected / US as f64) as u64,
            free_lanes: (LANES - self.running.len().min(LANES)) as u32,
        };
        let now = io.agenda.now;
        match self.told.iter_mut().find(|(known, ..)| *known == session) {
            Some((_, at, told)) => {
                if now - *at < interval || *told == load {
                    return None;
                }
                (*at, *told) = (now, load);
            }
            None => self.told.push((session, now, load)),
        }
        Some(load)
    }

    /// Takes what has been worked since from what is left.
    fn count(&mut self, now: Time) {
        let passed = (now - self.counted_at) as f64;
        self.counted_at = now;
        if self.is_frozen || self.running.is_empty() {
            return;
        }
        let done = passed * self.speed / self.running.len() as f64;
        for task in &mut self.running {
            task.left -= done;
        }
    }

    /// Its speed is another from now on.
    pub(crate) fn set_speed(&mut self, speed: f64, functions: &[Function], io: &mut Io) {
        self.count(io.agenda.now);
        self.speed = speed;
        self.go_on(functions, io);
    }

    pub(crate) fn done(&mut self, token: u32, functions: &[Function], io: &mut Io) {
        if token != self.token || self.is_frozen || !self.is_up {
            return;
        }
        self.count(io.agenda.now);
        self.go_on(functions, io);
    }

    /// Answers what is through, begins what has a lane, and notes when the next will be through.
    fn go_on(&mut self, functions: &[Function], io: &mut Io) {
        if self.is_frozen || !self.is_up {
            return;
        }
        let mut place = 0;
        while place < self.running.len() {
            if self.running[place].left > 1.0 {
                place += 1;
                continue;
            }
            let task = self.running.remove(place);
            let call = &io.ledger.calls[task.call as usize];
            let answer = match functions[call.function].throws {
                _ if call.deadline < io.agenda.now => Answer::DeadlineExceeded,
                true => Answer::Thrown,
                false => Answer::Result,
            };
            let took = Took {
                queue_us: task.waited / US,
                cpu_us: (task.cost / self.speed) as Time / US,
            };
            self.answer(task.session, task.call, answer, Some(took), io);
        }
        while self.running.len() < LANES
            && let Some(mut task) = self.queue.pop_front()
        {
            let call = &io.ledger.calls[task.call as usize];
            if call.deadline < io.agenda.now {
                self.answer(task.session, task.call, Answer::DeadlineExceeded, None, io);
                continue;
            }
            let is_poison = functions[call.function].is_poison;
            self.begun += 1;
            io.ledger.begin(task.call, self.number, io.agenda.now);
            if is_poison {
                io.poisoned.push(self.number);
                return self.kill(true, io);
            }
            task.waited = io.agenda.now - task.came_at;
            self.running.push(task);
        }
        self.token += 1;
        let least = self.running.iter().map(|task| task.left);
        let least = least.fold(f64::INFINITY, f64::min);
        if least.is_finite() {
            let wait = least * self.running.len() as f64 / self.speed;
            let event = Event::Done {
                node: self.number,
                token: self.token,
            };
            io.agenda.after(wait.max(1.0).ceil() as Time, event);
        }
        self.end_drain(io);
    }
}
