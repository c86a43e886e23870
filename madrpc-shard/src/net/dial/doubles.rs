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

    /// A target is this server; gives the one that stands for it, which may be that.
    pub(super) fn add(&mut self, server: ServerId, number: usize) -> usize {
        let first = *self.firsts.entry(server).or_insert(number);
        if first != number {
            self.again.set(number, true);
        }
        first
    }

    /// A target is this server no more; gives the one that stands for it now in its place, of those of which `is_same` says that
    /// they are it.
    pub(super) fn remove(
        &mut self,
        server: ServerId,
        number: usize,
        is_same: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        self.again.set(number, false);
        if self.firsts.get(&server) != Some(&number) {
            return None;
        }
        self.firsts.remove(&server);
        let next = self.again.all().find(|other| is_same(*other))?;
        self.firsts.insert(server, next);
        self.again.set(next, false);
        Some(next)
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
        if target.server == Some((fingerprint, instance)) {
            return;
        }
        self.forget_server(number);
        self.targets.identify(number, (fingerprint, instance));
        self.note(number);
    }

    /// Nobody knows any more which server a target is: it has no session.
    pub(super) fn forget_server(&mut self, number: usize) {
        if let Some(next) = self.targets.forget_server(number) {
            self.note(next);
            // The process may be gone, of which this target has not heard yet.
            self.ask(next, None, Instant::now());
        }
    }
}
