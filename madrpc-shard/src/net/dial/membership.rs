//! Targets that come and go.
//!
//! One that is gone gets no further calls; those that it has may end, and its sessions go when nobody says anything on them
//! any more. Its number is given to another once nothing of it is left.

use super::links::{Place, State, Target};
use super::{Sessions, Upstreams};
use crate::net::address::Addresses;

impl<T> Upstreams<T> {
    /// These are the targets from now on; gives the numbers and names of those that are new.
    pub(crate) fn set_targets(&mut self, addresses: &[Addresses]) -> Vec<(usize, String)> {
        let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let mut known = Vec::new();
        for number in 0..self.targets.len() {
            let name = self.targets[number].name();
            match (self.targets[number].is_gone, names.contains(&name)) {
                (false, true) => known.push(name),
                (false, false) => self.remove(number),
                (true, _) => {}
            }
        }
        let mut new = Vec::new();
        for (addresses, name) in addresses.iter().zip(names) {
            if !known.contains(&name) {
                new.push((self.add(addresses.clone()), name.clone()));
                known.push(name);
            }
        }
        new
    }

    /// The numbers and names of the targets.
    pub(crate) fn names(&self) -> impl Iterator<Item = (usize, String)> {
        let all = self.targets.iter().enumerate();
        let there = all.filter(|(_, target)| !target.is_gone);
        there.map(|(number, target)| (number, target.name()))
    }

    /// Adds a target; gives its number.
    pub(super) fn add(&mut self, addresses: Addresses) -> usize {
        let free = (0..self.targets.len()).find(|&number| self.is_free(number));
        let number = free.unwrap_or(self.targets.len());
        match self.targets.get_mut(number) {
            Some(target) => {
                for link in &target.links {
                    self.calls.drop_list(link.calls);
                }
                *target = Target::new(addresses);
            }
            None => self.targets.push(Target::new(addresses)),
        }
        self.there += 1;
        self.router.add(number);
        let count = match self.sessions {
            Sessions::Fixed(count) => count.max(1),
            Sessions::PerShard { .. } => 1,
        };
        for link in 0..count {
            self.add_link(number, self.first.wrapping_add(link as u16));
        }
        number
    }

    fn remove(&mut self, number: usize) {
        let target = &mut self.targets[number];
        target.is_gone = true;
        self.there -= 1;
        let mut left = Vec::new();
        for (link, one) in target.links.iter_mut().enumerate() {
            one.wanted = false;
            left.extend(one.session().map(|session| (link, session)));
        }
        for (link, session) in left {
            self.enter(Place::new(number, link), State::Leaving(session));
        }
        self.note(number);
        self.router.remove(number);
    }

    /// Whether a target is gone and nothing is left of it.
    fn is_free(&self, number: usize) -> bool {
        let target = &self.targets[number];
        target.is_gone
            && target
                .links
                .iter()
                .all(|link| link.session().is_none() && self.calls.length(link.calls) == 0)
            && self.lost.iter().all(|lost| lost.target != number)
    }
}
