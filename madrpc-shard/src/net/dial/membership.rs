//! Targets that come and go.
//!
//! One that is gone gets no further calls; those that it has may end, and its sessions go when nobody says anything on them
//! any more. Its number is given to another once nothing of it is left.

use super::Upstreams;
use super::links::{Place, State, Target};
use super::names::Names;
use super::subset::Chooser;
use crate::net::address::Addresses;
use crate::net::named::Named;
use madrpc_core::fleet::digest;
use std::collections::HashSet;
use std::time::Instant;

/// Numbers of targets that are gone of which it is seen at once whether anything of them is left.
const GONE_LOOKED_AT: usize = 8;

/// Which targets there are to be.
#[derive(Default)]
pub(super) struct Membership {
    /// What they were resolved from, where nobody else looks for them.
    names: Option<Names>,
    /// Which of those that are given are targets, where not all are.
    pub(super) chooser: Option<Box<Chooser>>,
    /// Whether one has been lost, until that is asked.
    has_lost: bool,
}

impl Membership {
    /// A session to a target has ended, or none has come about.
    pub(super) fn lose_one(&mut self) {
        self.has_lost = true;
    }

    /// Whether one was lost since this was last asked.
    #[inline]
    pub(super) fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.has_lost)
    }

    pub(super) fn set_names(&mut self, all: Vec<Named>, now: Instant) {
        self.names = Names::new(all, now);
    }

    /// Looks up what is due; gives the targets where there may be others.
    #[inline]
    pub(super) fn look_up(&mut self, now: Instant) -> Option<Vec<Addresses>> {
        // This is asked for each call.
        self.names
            .as_mut()?
            .look_up(std::mem::take(&mut self.has_lost), now)
    }
}

impl<T> Upstreams<T> {
    /// These are the targets from now on; gives the numbers and names of those that are new.
    pub(super) fn replace_targets(&mut self, addresses: &[Addresses]) -> Vec<(usize, String)> {
        let mut names: HashSet<String> = addresses.iter().map(ToString::to_string).collect();
        let mut free = Vec::new();
        for number in 0..self.targets.numbers() {
            // What is left of the names are the new ones.
            if self.targets[number].is_gone {
                free.extend(self.is_free(number).then_some(number));
            } else if self.targets[number].is_registered {
                // It leaves by itself.
            } else if !names.remove(&self.targets[number].name()) {
                self.remove(number);
            }
        }
        let mut new = Vec::new();
        for addresses in addresses {
            let name = addresses.to_string();
            if names.remove(&name) {
                let number = free.pop().unwrap_or(self.targets.numbers());
                self.add(number, addresses.clone());
                new.push((number, name));
            }
        }
        new
    }

    /// The numbers and names of the targets, but for those that are another one again.
    pub(crate) fn names(&self) -> impl Iterator<Item = (usize, String)> {
        (0..self.numbers()).filter_map(|number| Some((number, self.name_of(number)?)))
    }

    /// How many numbers targets may have.
    pub(crate) fn numbers(&self) -> usize {
        self.targets.numbers()
    }

    /// The name of the target with this number, unless it is gone or there by another.
    pub(crate) fn name_of(&self, number: usize) -> Option<String> {
        self.targets.name_of(number)
    }

    /// Adds a target under a number that is free, or the next.
    pub(super) fn add(&mut self, number: usize, addresses: Addresses) {
        self.add_target(number, addresses);
        for prefix in self.dialing.first_prefixes() {
            self.add_link(number, prefix);
        }
    }

    /// Adds a target without links.
    pub(super) fn add_target(&mut self, number: usize, addresses: Addresses) {
        let name = digest(addresses.to_string().as_bytes());
        if let Some(gone) = self.targets.get(number) {
            for link in &gone.links {
                self.calls.drop_list(link.calls);
            }
        }
        self.targets.add(number, Target::new(addresses, name));
        self.router.add(number);
        self.router.set_digest(number, name);
    }

    pub(crate) fn remove(&mut self, number: usize) {
        self.targets.remove(number);
        let mut left = Vec::new();
        for (link, one) in self.targets[number].links.iter_mut().enumerate() {
            one.wanted = false;
            left.extend(one.session().map(|session| (link, session)));
        }
        for (link, session) in left {
            self.enter(Place::new(number, link), State::Leaving(session));
        }
        self.note(number);
        self.router.remove(number);
    }

    /// A number that may be given to another, of a few of those that are gone.
    pub(crate) fn take_free(&mut self) -> Option<usize> {
        for _ in 0..GONE_LOOKED_AT {
            let number = self.targets.next_gone()?;
            // Another may have it already, or had it and is gone.
            if !self.targets[number].is_gone {
                continue;
            }
            if self.is_free(number) {
                return Some(number);
            }
            self.targets.look_again_at(number);
        }
        None
    }

    /// Whether a target is gone and nothing is left of it.
    pub(super) fn is_free(&self, number: usize) -> bool {
        let target = &self.targets[number];
        target.is_gone
            && target
                .links
                .iter()
                .all(|link| link.session().is_none() && self.calls.length(link.calls) == 0)
            && self.lost.iter().all(|lost| lost.target != number)
            && !self.early.has_second_on(number)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Due, Keep, Sessions};
    use super::*;
    use crate::net::budget::Budget;
    use crate::net::transport::dialing_endpoint;
    use madrpc_core::identity::{Authority, Role, SERVER_NAME_ANY};
    use std::net::SocketAddr;
    use std::time::Duration;

    fn server(port: u16) -> Addresses {
        SocketAddr::from(([127, 0, 0, 1], port)).into()
    }

    /// What is noted for later of a server with many links may come when its number is that of one with a single link.
    #[test]
    fn what_was_due_for_one_that_is_gone_hurts_nobody_who_has_its_number() {
        let now = Instant::now();
        let identity = Authority::create("test").unwrap();
        let identity = identity.issue(Role::Orchestrator).unwrap();
        let targets = [server(1), server(2)];
        let all = targets.each_ref().map(Addresses::first);
        let budget = Budget::unlimited();
        let idle = Duration::from_secs(4);
        let endpoint = dialing_endpoint(&identity, &all, idle, &budget, now).unwrap();
        let sessions = (Sessions::PerShard { callers: 1 }, 0);
        let mut upstreams = Upstreams::<()>::new(
            endpoint,
            &targets,
            sessions,
            SERVER_NAME_ANY,
            Keep::Always,
            now,
        );
        (1..8).for_each(|prefix| upstreams.add_link(0, prefix));
        for link in 0..8 {
            for due in [Due::Dial, Due::Ping, Due::Silence] {
                upstreams.timers.insert(now, due(Place::new(0, link)));
            }
        }
        let [first, second, third] = [1, 2, 3].map(server);
        assert!(
            upstreams
                .set_targets(std::slice::from_ref(&second))
                .is_empty()
        );
        let new = upstreams.set_targets(&[second.clone(), third, second.clone()]);
        assert_eq!(new, [(0, "127.0.0.1:3".to_owned())]);
        assert_eq!(upstreams.targets[0].links.len(), 1);
        for turn in 0..50 {
            let now = now + Duration::from_millis(200) * turn;
            upstreams.receive(now);
            while upstreams.next_lost(now).is_some() {}
            upstreams.flush(now);
        }
        // And so again and again.
        for turn in 0..200 {
            let churned = [second.clone(), server(100 + turn)];
            assert_eq!(upstreams.set_targets(&churned).len(), 1);
            upstreams.set_targets(&[first.clone(), second.clone()]);
        }
        assert!(upstreams.numbers() < 10, "{}", upstreams.numbers());
        assert_eq!(upstreams.targets.there(), 2);
    }
}
