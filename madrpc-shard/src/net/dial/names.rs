//! Names of a caller's own targets, who has nobody to look for them: they are looked up again while calls are made, now and then,
//! and soon after a session was lost. (Who stands behind an orchestrator is for `discovery` to say.)

use super::Upstreams;
use crate::net::address::Addresses;
use crate::net::named::{Named, distinct};
use crate::net::resolver::Resolver;
use madrpc_core::numbers::later;
use std::time::{Duration, Instant};

/// How often, while nothing is wrong. (gRPC's least time between two lookups.)
const AFTER: Duration = Duration::from_secs(30);

/// How soon after a session was lost, and how often while they are.
const AFTER_LOSS: Duration = Duration::from_secs(1);

/// Names, and what they were last said to mean.
pub(super) struct Names {
    /// With the addresses beside them, which stay.
    all: Vec<Named>,
    resolver: Resolver,
    asked_at: Instant,
    due: Instant,
}

impl<T> Upstreams<T> {
    /// The targets are what these mean, from now on and later. Addresses alone need not be told.
    pub(crate) fn set_names(&mut self, all: Vec<Named>, now: Instant) {
        self.membership.set_names(all, now);
    }

    /// Looks up what is due, and goes by what was found.
    #[inline]
    pub(super) fn look_up(&mut self, now: Instant) {
        if let Some(targets) = self.membership.look_up(now) {
            self.set_targets(&targets);
        }
    }
}

impl Names {
    pub(super) fn new(all: Vec<Named>, now: Instant) -> Option<Self> {
        all.iter().any(Named::is_name).then(|| Self {
            all,
            resolver: Resolver::new(),
            asked_at: now,
            due: later(now, AFTER),
        })
    }

    /// Gives the targets where there may be others.
    pub(super) fn look_up(&mut self, has_lost: bool, now: Instant) -> Option<Vec<Addresses>> {
        if has_lost {
            self.due = self.due.min(later(self.asked_at, AFTER_LOSS));
        }
        if now >= self.due {
            self.asked_at = now;
            self.due = later(now, AFTER);
            for (number, named) in self.all.iter().enumerate() {
                if named.is_name() {
                    self.resolver.ask(number, &named.text);
                }
            }
        }
        let mut has_news = false;
        while let Some((number, addresses)) = self.resolver.next() {
            if let Some(named) = self.all.get_mut(number) {
                named.set_addresses(addresses);
                has_news = true;
            }
        }
        has_news.then(|| distinct(&self.all))
    }
}
