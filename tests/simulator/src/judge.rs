//! Whether what callers were told could be told, by how the fleet is.

use crate::agenda::{MS, Time};
use crate::scenario::Lie;
use crate::shard::State;
use crate::world::{Told, World, process_of};
use madrpc_core::call::ErrorKind;
use madrpc_core::fleet::NoMember;

/// How long a shard may be without a node of the fleet that could run a call: until it is seen that its own cannot, and a
/// session to another is open.
const STANDING_IN: Time = 1_500 * MS;

impl World {
    /// A call has ended: no node is to work on it for nobody, of those that can be told.
    pub(crate) fn judge_asked(&mut self, call: u32, asked: &[(u32, u32)]) {
        let shard = &self.shards[self.io.ledger.calls[call as usize].shard as usize];
        let left = asked.iter().find(|(link, epoch)| {
            let link = &shard.links[*link as usize];
            link.epoch == *epoch && link.state == State::Open
        });
        if let Some((link, _)) = left {
            let node = shard.links[*link as usize].node;
            let what = format!("call {call}: has ended, and node {node} was not told");
            let now = self.io.agenda.now;
            self.io.ledger.break_of(now, &what);
        }
    }

    /// Whether an error could be told: where nobody could be given a call, there must have been nobody.
    pub(crate) fn judge(&mut self, told: &Told) {
        let call = &self.io.ledger.calls[told.call as usize];
        let is_about_members = told.why.is_some() || told.kind == ErrorKind::NoSuchFunction;
        if !is_about_members {
            return;
        }
        let shard = &self.shards[call.shard as usize];
        let since = call.arrived;
        let is_known = shard.links.iter().any(|link| {
            let known = link.known_since.get(call.function);
            !link.is_gone && known.is_some_and(|known| *known < Time::MAX)
        });
        if is_known && told.why == Some(NoMember::NoSuchFunction) {
            let what = format!("call {}: NoSuchFunction, though a member has it", told.call);
            let now = self.io.agenda.now;
            return self.io.ledger.break_of(now, &what);
        }
        let able = shard.links.iter().enumerate().find(|(number, link)| {
            let node = &self.nodes[link.node as usize];
            let is_well = node.answers() && node.well_since <= since && node.lie == Lie::None;
            let has_it = node.has_since[call.function] <= since
                && link
                    .known_since
                    .get(call.function)
                    .is_some_and(|known| *known <= since);
            let is_open = link.state == State::Open && !link.is_gone && !link.is_silent;
            is_well && has_it && is_open && !call.sent_to.contains(&(*number as u32))
        });
        if let Some((_, able)) = able {
            let (number, node, kind, why) = (told.call, able.node, told.kind, told.why);
            let sent_to = &call.sent_to;
            let what = format!(
                "call {number}: {kind:?} ({why:?}), though node {node} could run it; sent to {sent_to:?}"
            );
            let now = self.io.agenda.now;
            return self.io.ledger.break_of(now, &what);
        }
        self.judge_subset(told);
    }

    /// The same of a shard that has a part of the nodes: those that the others of its process have would have done as well.
    fn judge_subset(&mut self, told: &Told) {
        let call = &self.io.ledger.calls[told.call as usize];
        let Some(since) = call.arrived.checked_sub(STANDING_IN) else {
            return;
        };
        if self.shards[call.shard as usize].neighbours.is_none() || !call.sent_to.is_empty() {
            return;
        }
        let process = process_of(call.shard);
        let shards = self.shards.iter();
        let of_it = shards.filter(|shard| process_of(shard.number) == process);
        // One that it has itself and that is down is tried again after a while, as it is by those who have all.
        let own = &self.shards[call.shard as usize].links;
        let is_own = |node| own.iter().any(|link| link.node == node && !link.is_gone);
        let others = of_it.flat_map(|shard| &shard.links);
        let able = others.filter(|link| !is_own(link.node)).find(|link| {
            let node = &self.nodes[link.node as usize];
            let known = link.known_since.get(call.function);
            let is_well = node.answers() && node.well_since <= since && node.lie == Lie::None;
            let has_it = node.has_since[call.function] <= since;
            let is_known = known.is_some_and(|known| *known <= since);
            let is_open = link.state == State::Open && !link.is_gone && !link.is_silent;
            is_well && has_it && is_known && is_open
        });
        if let Some(able) = able {
            let (number, node, kind, why) = (told.call, able.node, told.kind, told.why);
            let what = format!(
                "call {number}: {kind:?} ({why:?}), though node {node}, which another shard has, could run it"
            );
            let now = self.io.agenda.now;
            self.io.ledger.break_of(now, &what);
        }
    }
}
