//! Ways to choose a member that the router does not have, to compare its own with.

use crate::shard::{Link, State};
use fastrand::Rng;
use madrpc_core::fleet::{Attempt, Balance, Took};

/// How much of an average a new figure makes up.
const NEW: f64 = 1.0 / 16.0;

/// Who gets a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Whom the router picks.
    Router(Balance),
    /// The one with the fewest calls under way.
    LeastInFlight,
    /// The one of two by chance with the fewer calls under way.
    TwoChoices,
    /// The one with the least product of calls under way and latency as the node knows it: Prequal's two signals in one.
    InFlightTimesLatency,
}

impl Policy {
    pub(crate) const fn balance(self) -> Balance {
        match self {
            Self::Router(balance) => balance,
            _ => Balance::RoundRobin,
        }
    }
}

/// What a shard knows of its members for that.
pub(crate) struct Choice {
    policy: Policy,
    members: Vec<Member>,
    next: usize,
}

#[derive(Default, Clone)]
struct Member {
    in_flight: u32,
    latency_us: f64,
}

impl Choice {
    pub(crate) const fn new(policy: Policy) -> Self {
        Self {
            policy,
            members: Vec::new(),
            next: 0,
        }
    }

    pub(crate) fn add(&mut self, number: usize) {
        if number >= self.members.len() {
            self.members.resize(number + 1, Member::default());
        }
        self.members[number] = Member::default();
    }

    /// The one that gets the call; the router's where there is none. It is for fleets in which every member has the function.
    pub(crate) fn pick(&mut self, links: &[Link], _: &Attempt, random: &mut Rng) -> Option<usize> {
        let is_usable = |&number: &usize| links[number].state == State::Open;
        let in_flight = |number: usize| f64::from(self.members[number].in_flight);
        let score = |number: usize| match self.policy {
            Policy::InFlightTimesLatency => {
                (in_flight(number) + 1.0) * (self.members[number].latency_us + 200.0)
            }
            _ => in_flight(number),
        };
        let count = links.len();
        match self.policy {
            Policy::Router(_) => None,
            Policy::TwoChoices => {
                let one = Some(random.usize(..count)).filter(is_usable)?;
                let other = Some(random.usize(..count)).filter(is_usable)?;
                Some(if score(other) < score(one) {
                    other
                } else {
                    one
                })
            }
            Policy::LeastInFlight | Policy::InFlightTimesLatency => {
                self.next = (self.next + 1) % count;
                let turns = (0..count).map(|step| (self.next + step) % count);
                turns
                    .filter(is_usable)
                    .min_by(|one, other| score(*one).total_cmp(&score(*other)))
            }
        }
    }

    pub(crate) fn begun(&mut self, number: usize) {
        self.members[number].in_flight += 1;
    }

    pub(crate) fn left(&mut self, number: usize, took: Option<Took>) {
        let member = &mut self.members[number];
        member.in_flight = member.in_flight.saturating_sub(1);
        if let Some(took) = took {
            let took = (took.queue_us + took.cpu_us) as f64;
            member.latency_us += (took - member.latency_us) * NEW;
        }
    }
}
