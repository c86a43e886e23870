//! The nodes, the shards and the network between them, driven from event to event.

use crate::agenda::{Agenda, Event, MS, Reply, Request, SECOND, Session, Time};
use crate::ledger::{Call, End, Ledger};
use crate::node::{Node, QUEUE_MAX};
use crate::scenario::{Has, Lie, Scenario, What};
use crate::shard::Shard;
use fastrand::Rng;
use madrpc_core::call::catalog::FunctionOptions;
use madrpc_core::call::{Announcement, ErrorKind};
use madrpc_core::fleet::{Neighbours, NoMember, Scripts, Subset, digest};
use std::sync::Arc;
use std::time::Instant;

/// Shards of one orchestrator, as far as subsets know.
pub(crate) const PROCESS_SHARDS: usize = 10;

/// How long it takes until the shards of a process know what one of them has learned.
const TELL_EACH: Time = 20 * MS;

/// The process that a shard is of.
pub(crate) fn process_of(shard: u32) -> usize {
    shard as usize / PROCESS_SHARDS
}

/// What nodes and shards do to the rest of the world.
pub(crate) struct Io {
    pub(crate) agenda: Agenda,
    pub(crate) ledger: Ledger,
    pub(crate) random: Rng,
    pub(crate) idle_timeout: Time,
    /// Errors that were told in this step, to be looked at.
    pub(crate) told: Vec<Told>,
    /// Nodes that a call has ended in this step.
    pub(crate) poisoned: Vec<u32>,
    delays: Vec<Time>,
    pub(crate) load_interval: Option<Time>,
    costs: Vec<Time>,
    names: Vec<&'static str>,
    scripts: Vec<(Announcement, bool)>,
    has: Vec<Vec<bool>>,
    shaking: Vec<Session>,
    /// The digests of the nodes' names.
    pub(crate) digests: Vec<u64>,
    /// What the shards of each process know of the nodes, and which processes have learned something.
    pub(crate) known: Vec<Scripts>,
    learned: Vec<usize>,
}

/// An error that a caller was told, and why no member could be given the call, where that was why.
pub(crate) struct Told {
    pub(crate) call: u32,
    pub(crate) kind: ErrorKind,
    pub(crate) why: Option<NoMember>,
}

impl Io {
    fn delay(&self, node: u32) -> Time {
        self.delays[node as usize]
    }

    /// What the calls of its function cost on average, on a core of speed 1.
    pub(crate) fn cost(&self, call: u32) -> f64 {
        let function = self.ledger.calls[call as usize].function;
        self.costs[function] as f64
    }

    pub(crate) fn send_to_node(&mut self, session: Session, request: Request) {
        let delay = self.delay(session.node);
        self.agenda.after(delay, Event::ToNode(session, request));
    }

    pub(crate) fn send_to_shard(&mut self, session: Session, reply: Reply) {
        self.send_to_shard_after(0, session, reply);
    }

    pub(crate) fn send_to_shard_after(&mut self, wait: Time, session: Session, reply: Reply) {
        let delay = self.delay(session.node);
        self.agenda
            .after(wait + delay, Event::ToShard(session, reply));
    }

    pub(crate) fn shake(&mut self, session: Session) {
        self.shaking.push(session);
    }

    pub(crate) fn tell(&mut self, call: u32, end: End) {
        let now = self.agenda.now;
        self.ledger.end(call, end, now);
    }

    pub(crate) fn name(&self, function: usize) -> &'static str {
        self.names[function]
    }

    /// What a node with this script says, and what it is told from others by.
    pub(crate) fn announcement(&self, script: usize) -> (u64, &Announcement) {
        (script as u64 + 1, &self.scripts[script].0)
    }

    /// Since when whoever has this script has each function, where it is known now.
    pub(crate) fn note_functions(&self, script: usize, since: &mut Vec<Time>) {
        since.resize(self.has[script].len(), Time::MAX);
        for (since, has) in since.iter_mut().zip(&self.has[script]) {
            *since = match has {
                true => self.agenda.now.min(*since),
                false => Time::MAX,
            };
        }
    }

    /// A node has said to a shard what it has, which tells the others of its process.
    pub(crate) fn learn(&mut self, shard: u32, node: u32, script: usize) {
        let process = process_of(shard);
        let (stamp, said) = self.announcement(script);
        let said = Arc::new(said.clone());
        let is_new = self.known[process].note(self.digests[node as usize], stamp, &said);
        if is_new && !self.learned.contains(&process) {
            self.learned.push(process);
            self.agenda.after(TELL_EACH, Event::Known(process as u32));
        }
    }

    pub(crate) fn scripts_fail(&self, script: usize) -> bool {
        self.scripts[script].1
    }
}

pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) nodes: Vec<Node>,
    pub(crate) shards: Vec<Shard>,
    pub(crate) io: Io,
    calls_per_second: f64,
    weights: u32,
}

impl World {
    pub(crate) fn new(scenario: Scenario, begun: Instant) -> Self {
        let announce = |has: &Has| {
            let functions = scenario.functions.iter().zip(&has.functions);
            let functions = functions.filter(|(_, has)| **has).map(|(function, _)| {
                let options = FunctionOptions {
                    idempotent: function.idempotent,
                    ..FunctionOptions::default()
                };
                (function.name.to_owned(), options)
            });
            let functions = functions.collect();
            (Announcement { functions }, has.fails)
        };
        let scripts = scenario.scripts.iter().map(announce).collect();
        let mut io = Io {
            agenda: Agenda::new(begun),
            ledger: Ledger::new(scenario.shards),
            random: Rng::with_seed(scenario.seed),
            idle_timeout: scenario.idle_timeout,
            told: Vec::new(),
            poisoned: Vec::new(),
            delays: scenario.delays.clone(),
            load_interval: scenario.load_interval,
            costs: scenario
                .functions
                .iter()
                .map(|function| function.cost)
                .collect(),
            names: scenario
                .functions
                .iter()
                .map(|function| function.name)
                .collect(),
            scripts,
            has: scenario
                .scripts
                .iter()
                .map(|has| has.functions.clone())
                .collect(),
            shaking: Vec::new(),
            digests: (0..scenario.speeds.len())
                .map(|node| digest(&node.to_le_bytes()))
                .collect(),
            known: vec![Scripts::default(); scenario.shards.div_ceil(PROCESS_SHARDS)],
            learned: Vec::new(),
        };
        io.ledger.watched = scenario.watched;
        let mut world = Self {
            calls_per_second: scenario.calls_per_second,
            weights: scenario
                .functions
                .iter()
                .map(|function| function.weight)
                .sum(),
            nodes: Vec::new(),
            shards: Vec::new(),
            io,
            scenario,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let Self { scenario, io, .. } = self;
        for (number, &speed) in scenario.speeds.iter().enumerate() {
            let mut node = Node::new(number as u32, speed, io);
            node.cold_cost = scenario.cold_cost;
            self.nodes.push(node);
        }
        let count = scenario.speeds.len();
        for number in 0..scenario.shards {
            let mut shard = Shard::new(number as u32, scenario.policy, scenario.flaw, io);
            let process = process_of(number as u32);
            let subset = scenario
                .subset
                .filter(|size| *size < count)
                .map(|size| Subset {
                    process: digest(&process.to_le_bytes()),
                    shard: number % PROCESS_SHARDS,
                    shards: PROCESS_SHARDS.min(scenario.shards - process * PROCESS_SHARDS),
                    size,
                });
            match subset {
                Some(subset) => {
                    let mut neighbours = Neighbours::new(subset, io.agenda.instant());
                    neighbours.set_members(io.digests.clone());
                    shard.neighbours = Some(neighbours);
                    shard.choose_again(io);
                }
                None => (0..count).for_each(|node| shard.add(node as u32, io)),
            }
            shard.router.set_max_ejected(scenario.max_ejected);
            shard.router.set_hedge(scenario.hedge);
            shard.early.hedges = scenario.hedge.is_some();
            shard.early.try_timeout = scenario.try_timeout;
            shard.sweep(io);
            self.shards.push(shard);
        }
        for (number, (at, _)) in scenario.faults.iter().enumerate() {
            io.agenda.at(*at, Event::Fault(number as u32));
        }
        // When the sessions are open.
        io.agenda.at(SECOND / 10, Event::Arrival);
    }

    pub(crate) fn run(&mut self) {
        self.shake();
        let longest = self.scenario.timeouts.1 + SECOND;
        let end = self.scenario.until + longest;
        while let Some(event) = self.io.agenda.next(end) {
            self.step(event);
            if !self.io.shaking.is_empty() {
                self.shake();
            }
            while let Some(told) = self.io.told.pop() {
                self.judge(&told);
            }
            while let Some((call, asked)) = self.io.ledger.take_asked() {
                self.judge_asked(call, &asked);
            }
            if !self.io.poisoned.is_empty() {
                self.restart_poisoned();
            }
            if self.io.ledger.violations.len() > 2 {
                return;
            }
        }
        let queued = self.nodes.iter().map(|node| node.queue_most).max();
        if queued.unwrap_or_default() > QUEUE_MAX {
            self.io
                .ledger
                .break_of(end, "a queue is longer than any may be");
        }
        self.io.ledger.close(end);
    }

    fn step(&mut self, event: Event) {
        let Self {
            nodes,
            shards,
            io,
            scenario,
            ..
        } = self;
        let functions = &scenario.functions;
        match event {
            Event::Arrival => self.arrive(),
            Event::GivenUp(call) => {
                if io.ledger.give_up(call) {
                    let shard = io.ledger.calls[call as usize].shard;
                    shards[shard as usize].cancel(call, io);
                }
            }
            Event::ToNode(session, request) => {
                let node = &mut nodes[session.node as usize];
                if node.is_up && node.receive(session, request, functions, io) {
                    shards[session.shard as usize].acknowledged(session, io.agenda.now);
                }
            }
            Event::ToShard(session, reply) => {
                shards[session.shard as usize].receive(session, reply, io);
            }
            Event::Shaken(session, incarnation) => {
                let node = &mut nodes[session.node as usize];
                let shard = &mut shards[session.shard as usize];
                let is_there = node.incarnation == incarnation && node.answers();
                if is_there && shard.shaken(session, io) {
                    node.open(session, io);
                }
            }
            Event::NotShaken(session) => shards[session.shard as usize].not_shaken(session, io),
            Event::Done { node, token } => nodes[node as usize].done(token, functions, io),
            Event::Deadline(call) => {
                let shard = io.ledger.calls[call as usize].shard;
                shards[shard as usize].deadline(call, io);
            }
            Event::Early(call) => {
                let shard = io.ledger.calls[call as usize].shard;
                shards[shard as usize].early(call, io);
            }
            Event::Look { shard, link, epoch } => {
                shards[shard as usize].look(link as usize, epoch, io);
            }
            Event::Sweep { shard } => shards[shard as usize].sweep(io),
            Event::Subset { shard } => shards[shard as usize].choose_again(io),
            Event::Known(process) => {
                io.learned.retain(|one| *one != process as usize);
                let of_it = shards.iter_mut();
                let of_it = of_it.filter(|shard| process_of(shard.number) == process as usize);
                of_it.for_each(|shard| shard.choose(io));
            }
            Event::Dial { shard, link } => shards[shard as usize].dial(link as usize, io),
            Event::Idle(session, stops) => {
                let node = &mut nodes[session.node as usize];
                if node.stops == stops && (node.is_frozen || !node.is_up) {
                    shards[session.shard as usize].idle(session, io);
                    node.close(session, functions, io);
                }
            }
            Event::Fault(number) => {
                let (_, what) = scenario.faults[number as usize];
                self.befall(what);
            }
        }
    }

    /// Handshakes come to their end, or do not.
    fn shake(&mut self) {
        while let Some(session) = self.io.shaking.pop() {
            let node = &self.nodes[session.node as usize];
            let delay = self.io.delay(session.node);
            if node.answers() {
                let event = Event::Shaken(session, node.incarnation);
                self.io.agenda.after(4 * delay, event);
            } else if !node.is_up || node.is_draining {
                // Its system says that nobody is there.
                self.io.agenda.after(2 * delay, Event::NotShaken(session));
            }
        }
    }

    /// The next call, and when the one after it comes.
    fn arrive(&mut self) {
        let Self { scenario, io, .. } = self;
        let now = io.agenda.now;
        let rate = self.calls_per_second.max(0.001);
        let wait = -(1.0 - io.random.f64()).ln() / rate * SECOND as f64;
        if now + (wait as Time) < scenario.until {
            io.agenda.after(wait as Time, Event::Arrival);
        }
        let mut drawn = io.random.u32(..self.weights.max(1));
        let function = scenario.functions.iter().position(|function| {
            let is_it = drawn < function.weight;
            drawn = drawn.wrapping_sub(function.weight);
            is_it
        });
        let function = function.unwrap_or_default();
        let known = &scenario.functions[function];
        let cost = match known.is_even {
            true => known.cost as f64,
            false => -(1.0 - io.random.f64()).ln() * known.cost as f64,
        };
        let shard = io.random.usize(..self.shards.len());
        let mut one_in = |count: u32| count > 0 && io.random.u32(..count) == 0;
        let is_given_up = one_in(scenario.given_up_one_in);
        let may_repeat = one_in(scenario.may_repeat_one_in);
        let is_large = one_in(scenario.large_one_in);
        // There is not always room for large arguments.
        let is_sent_once = is_large && one_in(4);
        let (least, most) = scenario.timeouts;
        let timeout = io.random.u64(least..=most);
        let mut call = Call::new(shard as u32, function, cost as Time, now);
        call.deadline = now + timeout;
        call.may_repeat = may_repeat;
        call.is_idempotent = known.idempotent;
        call.is_large = is_large;
        call.is_sent_once = is_sent_once;
        // Some have none, and some keys have many.
        let drawn = io.random.f64();
        call.key = (drawn < 0.9).then(|| digest(&((drawn * drawn * 300.0) as u64).to_le_bytes()));
        let call = io.ledger.add(call);
        if is_given_up {
            let wait = io.random.u64(..timeout / 4);
            io.agenda.after(wait, Event::GivenUp(call));
        }
        let shard = &mut self.shards[shard];
        shard.call(call, known.name, io);
        let (ejected, members) = (shard.router.ejected(), shard.there);
        if ejected > members / 2 {
            let what = format!("{ejected} of {members} members are left out");
            io.ledger.break_of(now, &what);
        }
    }

    fn befall(&mut self, what: What) {
        let Self {
            nodes,
            shards,
            io,
            scenario,
            ..
        } = self;
        let functions = &scenario.functions;
        match what {
            What::Speed(node, speed) => nodes[node as usize].set_speed(speed, functions, io),
            What::Freeze(node) => nodes[node as usize].freeze(io),
            What::Thaw(node) => nodes[node as usize].thaw(functions, io),
            What::Kill(node, is_seen) => nodes[node as usize].kill(is_seen, io),
            What::Start(node) => nodes[node as usize].start(io),
            What::Break(node) => nodes[node as usize].break_sessions(functions, io),
            What::Lies(node, lie) => {
                let node = &mut nodes[node as usize];
                node.lie = lie;
                if lie == Lie::None {
                    node.well_since = io.agenda.now;
                }
            }
            What::Drain(node) => nodes[node as usize].drain(io),
            What::Leave(node) => shards.iter_mut().for_each(|shard| shard.remove(node)),
            What::Join(node) => shards.iter_mut().for_each(|shard| shard.add(node, io)),
            What::Reload(node, script) => nodes[node as usize].reload(script, io),
            What::Load(factor) => self.calls_per_second = scenario.calls_per_second * factor,
            What::Calm => io.ledger.calm_from = Some(io.agenda.now),
        }
    }

    fn restart_poisoned(&mut self) {
        let at = self.io.agenda.now + SECOND / 5;
        for node in std::mem::take(&mut self.io.poisoned) {
            let number = self.scenario.faults.len() as u32;
            self.scenario.faults.push((at, What::Start(node)));
            self.io.agenda.at(at, Event::Fault(number));
        }
    }
}
