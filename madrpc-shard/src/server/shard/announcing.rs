//! The sessions by which a node announces itself to orchestrators. They are opened from where the node listens, and calls come on
//! them as on those that orchestrators open: so a node needs no address that they know.

use crate::net::address::Addresses;
use crate::net::dial::SESSIONS_MAX;
use crate::net::endpoint::{Endpoint, SessionKey};
use crate::net::resolver::Resolver;
use madrpc_core::balance::Backoff;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::{Role, SERVER_NAME_ANY};
use madrpc_core::limits::{KEEP_ALIVE, UPSTREAM_IDLE_TIMEOUT};
use madrpc_core::numbers::later;
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// What an orchestrator's certificate must be for.
const NAME: &str = match Role::Orchestrator.server_name() {
    Some(name) => name,
    None => SERVER_NAME_ANY,
};

/// The orchestrators that a shard announces itself to.
pub(crate) struct Announcing {
    fronts: Vec<Front>,
    resolver: Resolver,
    /// The shard that this is, and how many there are, which share those of the orchestrators.
    shard: u16,
    shards: u16,
    next: Option<Instant>,
}

/// An orchestrator.
struct Front {
    addresses: Addresses,
    /// Which of them is used, or tried.
    at: usize,
    lines: Vec<Line>,
    /// A session to it has stood for a while, and does.
    is_announced: bool,
    is_troubled: bool,
}

/// A session to one of its shards, or the place of one.
struct Line {
    prefix: u16,
    session: Option<SessionKey>,
    /// Its orchestrator has answered.
    is_welcome: bool,
    backoff: Backoff,
    /// When it is opened, or its peer is asked whether it is there.
    due: Instant,
}

impl Front {
    /// Says once that it cannot be reached, until it is: by one shard, as the others fare the same.
    fn tell(&mut self, shard: u16, why: &CallError) {
        let is_told = std::mem::replace(&mut self.is_troubled, true);
        let (front, message) = (&self.addresses, &why.message);
        if is_told || shard != 0 {
            debug!("no session to orchestrator {front}: {message}");
            return;
        }
        let needed = match why.kind {
            ErrorKind::Unauthorized if !why.may_have_run => {
                "; it has to be an orchestrator of our authority, and let this node's certificate in"
            }
            _ => "",
        };
        warn!(
            "no session to orchestrator {front}, which is to have this node: {message}{needed}; trying again, at most every {} s",
            Duration::as_secs(&Backoff::LONGEST)
        );
    }
}

impl Line {
    fn new(prefix: u16, now: Instant) -> Self {
        Self {
            prefix,
            session: None,
            is_welcome: false,
            backoff: Backoff::default(),
            due: now,
        }
    }
}

impl Announcing {
    #[cfg_attr(
        not(feature = "engine"),
        expect(dead_code, reason = "only a node announces itself")
    )]
    pub(crate) fn new(
        orchestrators: Vec<Addresses>,
        (shard, shards): (u16, u16),
        now: Instant,
    ) -> Self {
        let fronts = orchestrators.into_iter().map(|addresses| Front {
            addresses,
            at: 0,
            lines: vec![Line::new(shard, now)],
            is_announced: false,
            is_troubled: false,
        });
        Self {
            fronts: fronts.collect(),
            resolver: Resolver::new(),
            shard,
            shards: shards.max(1),
            next: Some(now),
        }
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.next
    }

    /// Opens the sessions that are due, and pings those that are open.
    pub(super) fn turn(&mut self, callers: &mut Endpoint, now: Instant) {
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        while let Some((front, addresses)) = self.resolver.next() {
            if let Some(front) = self.fronts.get_mut(front) {
                (front.addresses, front.at) = (addresses, 0);
            }
        }
        for front in &mut self.fronts {
            let address = front.addresses.all()[front.at % front.addresses.all().len()];
            let mut trouble = None;
            for line in front.lines.iter_mut().filter(|line| line.due <= now) {
                line.due = later(now, KEEP_ALIVE);
                match line.session {
                    // QUIC's own time is three round trips at the least, and those of one that was stopped are many seconds.
                    Some(session) if is_silent(callers, session, now) => callers.give_up(session),
                    Some(session) => {
                        callers.ping(session);
                        // An orchestrator that does not want the node says so at once.
                        if line.is_welcome {
                            line.backoff.succeeded();
                            if !std::mem::replace(&mut front.is_announced, true) {
                                front.is_troubled = false;
                                info!("announced to orchestrator {}", front.addresses);
                            }
                        }
                    }
                    None => match callers.connect(address, NAME, line.prefix, now) {
                        Ok(session) => line.session = Some(session),
                        Err(why) => {
                            line.due = later(now, line.backoff.failed(fastrand::f64()));
                            trouble = Some(why);
                        }
                    },
                }
            }
            if let Some(why) = trouble {
                front.tell(self.shard, &why);
            }
        }
        self.set_timer();
    }

    /// An orchestrator has so many shards: there is to be a session to each that is this shard's.
    pub(super) fn on_welcome(&mut self, session: SessionKey, shards: u16, now: Instant) {
        let (shard, callers) = (self.shard, self.shards);
        let Some((front, line)) = self.find(session) else {
            return;
        };
        let (is_first, is_new) = (line == 0, !front.lines[line].is_welcome);
        front.lines[line].is_welcome = true;
        if !is_first || !is_new || shards == 0 {
            return;
        }
        let own = shard % shards;
        let wanted = (own % callers..shards).step_by(usize::from(callers));
        let wanted: Vec<u16> = wanted
            .filter(|one| *one != own)
            .take(SESSIONS_MAX)
            .collect();
        // Those that it does not have any more end by themselves, and are not opened again.
        let mut at = 0;
        front.lines.retain(|line| {
            at += 1;
            at == 1 || line.session.is_some() || wanted.contains(&line.prefix)
        });
        for prefix in wanted {
            let has = |line: &Line| line.prefix == prefix;
            if !front.lines.iter().skip(1).any(has) && front.lines.len() <= SESSIONS_MAX {
                front.lines.push(Line::new(prefix, now));
            }
        }
        self.next = Some(now);
    }

    /// A session has ended, which may be one of these.
    pub(super) fn on_ended(&mut self, session: SessionKey, why: &CallError, now: Instant) {
        let own = self.shard;
        let Some((front, at)) = self.find(session) else {
            return;
        };
        let line = &mut front.lines[at];
        line.session = None;
        line.due = later(now, line.backoff.failed(fastrand::f64()));
        let was_welcome = std::mem::take(&mut line.is_welcome);
        let mut lost = None;
        if at == 0 {
            front.is_announced = false;
            front.tell(own, why);
            if !was_welcome {
                front.at += 1;
                let has_tried_all = front.at.is_multiple_of(front.addresses.all().len());
                let name = front.addresses.name().filter(|_| has_tried_all);
                lost = name.map(str::to_owned);
            }
        }
        if let Some(name) = lost
            && let Some(number) = self.fronts.iter().position(|front| {
                front.lines[0].session.is_none() && front.addresses.name() == Some(&name)
            })
        {
            self.resolver.ask(number, &name);
        }
        self.set_timer();
    }

    fn find(&mut self, session: SessionKey) -> Option<(&mut Front, usize)> {
        self.fronts.iter_mut().find_map(|front| {
            let is_its = |line: &Line| line.session == Some(session);
            let at = front.lines.iter().position(is_its)?;
            Some((front, at))
        })
    }

    fn set_timer(&mut self) {
        let lines = self.fronts.iter().flat_map(|front| &front.lines);
        self.next = lines.map(|line| line.due).min();
    }
}

/// Whether nothing has come for as long as a session may be silent that is pinged.
fn is_silent(callers: &Endpoint, session: SessionKey, now: Instant) -> bool {
    let received_at = callers.received_at(session);
    received_at.is_some_and(|at| now.saturating_duration_since(at) >= UPSTREAM_IDLE_TIMEOUT)
}
