//! Calls of calls: what a running call asks for, and what becomes of it when its parent ends.

use super::Node;
use super::call::{Asked, CallKey, Origin, Parent, Running, Ticket};
use super::losses::Called;
use crate::engine::{Answer, ChildCall};
use crate::net::dial::{CallId, Request};
use crate::net::traces::Context;
use madrpc_core::numbers::later;

use crate::net::service::Io;
use foldhash::fast::RandomState;
use madrpc_core::call::frame::Account;
use madrpc_core::call::{CallError, CallFields, ErrorKind, Fields, NodesAbove};
use madrpc_core::limits::{DEPTH_MAX, ENDINGS_PER_TURN};
use std::collections::hash_map::IntoValues;
use std::collections::{HashMap, VecDeque};

/// The calls that a call waits for, by its lane's numbers for them.
pub(super) type Children = HashMap<u32, Child, RandomState>;

/// A call of a call.
#[derive(Clone, Copy)]
pub(super) enum Child {
    /// On this shard.
    Here(CallKey),
    /// Sent through the orchestrator.
    Sent(CallId, Called),
}

/// Children whose parents have ended, to be given up a bounded number in a turn.
#[derive(Default)]
pub(super) struct Orphans(VecDeque<IntoValues<u32, Child>>);

impl Orphans {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over what a call that is over has asked for.
    pub(super) fn adopt(&mut self, children: Children) {
        if !children.is_empty() {
            self.0.push_back(children.into_values());
        }
    }

    fn next(&mut self) -> Option<Child> {
        while let Some(children) = self.0.front_mut() {
            if let Some(child) = children.next() {
                return Some(child);
            }
            self.0.pop_front();
        }
        None
    }
}

impl Node {
    /// Sends the calls that a call has asked for, which is set aside under this key; says whether it has an answer
    /// already.
    pub(super) fn send_child_calls(&mut self, call: CallKey, io: &mut Io<'_, Self>) -> bool {
        let Some(running) = self.calls.running_mut(call) else {
            return false;
        };
        let child_calls = running.lane.take_child_calls();
        if child_calls.is_empty() {
            return false;
        }
        let mut is_answered = false;
        for child_call in child_calls {
            let token = child_call.token;
            let sent = self.send_child(child_call, call, io);
            let held = self.calls.held(0);
            let Some(running) = self.calls.running_mut(call) else {
                break;
            };
            match sent {
                Ok(child) => {
                    let asked = running.asked.get_or_insert_with(|| {
                        Box::new(Asked {
                            children: Children::default(),
                            answers: held,
                        })
                    });
                    asked.children.insert(token, child);
                    running.set_busy_for_family();
                }
                Err(error) => {
                    running.lane.answer(token, Err(error));
                    is_answered = true;
                }
            }
        }
        is_answered
    }

    /// Sends the call of a call through the orchestrator, or puts it in the queue.
    fn send_child(
        &mut self,
        child: ChildCall,
        parent: CallKey,
        io: &mut Io<'_, Self>,
    ) -> Result<Child, CallError> {
        let (token, body) = (child.token, &child.body);
        let caller = self.calls.caller_of(parent);
        let has_room =
            caller.is_some_and(|caller| self.calls.has_room_for_child(caller, body.len()));
        let Some(Running { ticket, .. }) = self.calls.running_mut(parent) else {
            let error = "the call that asked is over";
            return Err(CallError::not_run(ErrorKind::Cancelled, error));
        };
        let (caller, depth) = (ticket.caller, ticket.depth.saturating_add(1));
        let deadline = child.timeout.map_or(ticket.deadline, |timeout| {
            ticket.deadline.min(later(io.now, timeout))
        });
        if depth > DEPTH_MAX {
            let error = format!("calls of calls are {DEPTH_MAX} deep already");
            return Err(CallError::not_run(ErrorKind::Overloaded, error));
        }
        let Some(member) = &ticket.member else {
            let error = "the call that asked is of no family";
            return Err(CallError::not_run(ErrorKind::Internal, error));
        };
        let trace = ticket.context.as_deref().map(Context::below);
        let parent = Parent {
            call: parent,
            token,
        };
        if let Some(upstreams) = &mut io.upstreams {
            if let Some(error) = member.out_of_time() {
                return Err(CallError::not_run(ErrorKind::CpuLimit, error));
            }
            let account = io.callers.passed_on_as(caller).map(|account| Account {
                root: Some(member.root()),
                ..account
            });
            let called = Called::new(&child.function, body);
            let mut fields = Vec::new();
            let above = member.nodes_with(io.callers.instance());
            let said = CallFields {
                credit: child.credit,
                trace,
                nodes_lost: member.nodes_lost_by(called),
                above: NodesAbove(&above),
                ..CallFields::default()
            };
            said.write(&mut fields);
            let request = Request {
                function: &child.function,
                body: body.into(),
                deadline,
                depth,
                account,
                fields: Fields(&fields),
            };
            let sent = upstreams.call(io.now, &request, parent);
            return sent
                .map(|sent| Child::Sent(sent, called))
                .map_err(|(_, error)| error);
        }
        if !has_room {
            let error = "the calls of calls of this caller that wait on this shard hold their part of its memory (--memory-max)";
            return Err(CallError::not_run(ErrorKind::Overloaded, error));
        }
        let member = member.another(body.len(), io.now)?;
        let function = self.functions.named(&child.function)?;
        let limit = function.limit;
        let slot = limit.and_then(|limit| self.calls.limits.take(limit));
        let ticket = Ticket {
            origin: Origin::Parent(parent),
            caller,
            function: function.clone(),
            arrived: io.now,
            deadline: function.deadline(io.now, deadline),
            depth,
            nodes_lost: member.nodes_lost(),
            credit: child.credit,
            context: trace.map(|trace| Box::new(self.telemetry.observing.continued(trace))),
            member: Some(Box::new(member)),
            slot,
        };
        let metering = &self.metering;
        if let Some(error) = metering.over_rate(&ticket, &self.id, io, io.now) {
            return Err(error);
        }
        Ok(Child::Here(self.calls.enqueue(ticket, child.body)))
    }

    /// Brings an answer to the call that waits for it, unless that is over.
    pub(super) fn answer(&mut self, parent: Parent, answer: Answer) {
        let Parent { call, token } = parent;
        let Some(running) = self.calls.running_mut(call) else {
            return;
        };
        let Some(asked) = &mut running.asked else {
            return;
        };
        if let Some(child) = asked.children.remove(&token) {
            if let (Child::Sent(_, called), Some(member)) = (child, &running.ticket.member) {
                member.learns(called, answer.as_ref().map(|_| ()));
            }
            // Until the lane takes them, which it does when it goes on.
            running.lane.answer(token, answer);
            asked.answers.set(running.lane.unseen_bytes());
            running.hold_for_family();
            running.set_busy_for_family();
            self.calls.wake(call);
        }
    }

    /// Gives up what calls that are over have asked for, a bounded number.
    pub(super) fn give_up_orphans(&mut self, io: &mut Io<'_, Self>) {
        for _ in 0..ENDINGS_PER_TURN {
            match self.orphans.next() {
                Some(Child::Here(call)) => self.give_up(call, io),
                Some(Child::Sent(call, _)) => {
                    if let Some(upstreams) = &mut io.upstreams {
                        upstreams.cancel(call);
                    }
                }
                None => break,
            }
        }
    }
}
