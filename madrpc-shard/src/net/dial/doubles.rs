//! One server behind two targets: an address of each of its networks, a name and an address, IPv4 and IPv6.
//!
//! A server tells on every session a number that it has drawn at its start. Where two targets tell the same, and show the same
//! certificate, the one that was first gets calls; the other keeps its sessions, and takes the place of the first where that has none
//! any more. Without the certificate a node could put another out of work by its number.

use super::Upstreams;
use crate::net::endpoint::SessionKey;
use madrpc_core::balance::Members;
use std::collections::HashMap;
use std::time::Instant;
use tracing::{debug, warn};

/// What tells a server from all others: its certificate's fingerprint, and the number.
pub(super) type ServerId = ([u8; 32], u64);

/// Which target stands for a server, and which are the same one again.
#[derive(Default)]
pub(super) struct Doubles {
    firsts: HashMap<ServerId, usize>,
    again: Members,
}

impl Doubles {
    /// Whether a target is a server that another target stands for.
    pub(super) fn contains(&self, number: usize) -> bool {
        !self.again.is_empty() && self.again.contains(number)
    }

    /// The target that stands for a server.
    pub(super) fn first(&self, server: ServerId) -> Option<usize> {
        self.firsts.get(&server).copied()
    }
}

impl<T> Upstreams<T> {
    /// A session to a target is open, or its server has told its number on one: the one may come before the other.
    pub(super) fn identify(&mut self, number: usize, session: SessionKey) {
        self.targets[number].is_node = self.wires.is_node(session);
        let target = &self.targets[number];
        let (Some(instance), Some(fingerprint), false) = (
            target.instance,
            self.wires.fingerprint(session),
            target.open.is_empty(),
        ) else {
            return;
        };
        let server = (fingerprint, instance);
        if target.server == Some(server) {
            return;
        }
        self.forget_server(number);
        self.targets[number].server = Some(server);
        let first = *self.doubles.firsts.entry(server).or_insert(number);
        if first == number {
            // It may have been another one again before.
            self.note(number);
        } else {
            let (again, known) = (&self.targets[number], &self.targets[first]);
            match again.is_registered || known.is_registered {
                true => debug!("{} has announced itself and is known besides", again.name()),
                false if !self.lines.take(Instant::now()) => {}
                false => warn!(
                    "{} is {} by another address, and counts once",
                    again.name(),
                    known.name()
                ),
            }
            self.doubles.again.set(number, true);
            self.note(number);
        }
    }

    /// Nobody knows any more which server a target is: it has no session.
    pub(super) fn forget_server(&mut self, number: usize) {
        let Some(server) = self.targets[number].server.take() else {
            return;
        };
        self.doubles.again.set(number, false);
        if self.doubles.firsts.get(&server) != Some(&number) {
            return;
        }
        self.doubles.firsts.remove(&server);
        let is_same = |other: &usize| self.targets[*other].server == Some(server);
        let next = self.doubles.again.all().find(is_same);
        if let Some(next) = next {
            self.doubles.firsts.insert(server, next);
            self.doubles.again.set(next, false);
            self.note(next);
            // The process may be gone, of which this target has not heard yet.
            self.ask(next, None, Instant::now());
        }
    }
}
