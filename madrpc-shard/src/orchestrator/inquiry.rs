//! Inquiries: what can be called, asked of every node and answered in one.
//!
//! Each node has the same short time to answer; one that does not is named in the answer and holds nobody up.

use super::{Orchestrator, Tag};
use crate::net::dial::{Outcome, Request};
use crate::net::endpoint::SessionKey;
use crate::net::incoming::Incoming;
use crate::net::service::Io;
use madrpc_core::call::catalog::Catalog;
use madrpc_core::call::{Bill, CallError, ErrorKind};
use std::collections::HashMap;
use std::time::Duration;

/// How long a node may take to answer, where the caller has more time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The inquiries whose answers are not all there.
#[derive(Default)]
pub(super) struct Inquiries {
    open: HashMap<u64, Inquiry>,
    last: u64,
}

struct Inquiry {
    session: SessionKey,
    /// The caller's number for it.
    id: u64,
    catalog: Catalog,
    /// Nodes that have not answered.
    left: usize,
}

impl Inquiries {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Asks all nodes that the shard has sessions to, and adds what it knows of others; gives the inquiry's number, unless it is answered already.
    pub(super) fn open(
        &mut self,
        call: &Incoming<'_>,
        mut catalog: Catalog,
        io: &mut Io<'_, Orchestrator>,
    ) -> Option<u64> {
        self.last += 1;
        let deadline = call.request.deadline.min(call.arrived + ANSWER_TIMEOUT);
        let request = Request {
            deadline,
            ..call.request
        };
        let mut left = 0;
        let upstreams = io.upstreams.as_mut()?;
        let nodes: Vec<(usize, String)> = upstreams.names().collect();
        for (node, name) in nodes {
            match upstreams.call_at(node, io.now, &request, Tag::Inquiry(self.last)) {
                Ok(_) => left += 1,
                Err((_, error)) => catalog.add_silent(&name, error.message),
            }
        }
        for (node, said) in upstreams.elsewhere() {
            catalog.add(&node, said.functions.iter().cloned());
        }
        let inquiry = Inquiry {
            session: call.session,
            id: call.id,
            catalog,
            left,
        };
        if left == 0 {
            reply(&inquiry, io);
            return None;
        }
        self.open.insert(self.last, inquiry);
        Some(self.last)
    }

    /// Takes in what a node has answered; the last one's answer makes the reply.
    pub(super) fn take(
        &mut self,
        number: u64,
        node: &str,
        outcome: &Outcome<'_>,
        io: &mut Io<'_, Orchestrator>,
    ) {
        // Its caller may have given it up.
        let Some(inquiry) = self.open.get_mut(&number) else {
            return;
        };
        let added = match outcome {
            Outcome::Reply { body, .. } => inquiry
                .catalog
                .add_answer(node, body)
                .map_err(|error| error.message),
            Outcome::Failure { body, .. } => Err(CallError::from_body(body).message),
            Outcome::Lost(error) => Err(error.message.clone()),
        };
        if let Err(reason) = added {
            inquiry.catalog.add_silent(node, reason);
        }
        inquiry.left -= 1;
        if inquiry.left == 0
            && let Some(inquiry) = self.open.remove(&number)
        {
            io.calls.remove(inquiry.session, inquiry.id);
            reply(&inquiry, io);
        }
    }

    /// Forgets an inquiry that its caller has given up.
    pub(super) fn forget(&mut self, number: u64, io: &mut Io<'_, Orchestrator>) {
        if let Some(Inquiry { session, id, .. }) = self.open.remove(&number) {
            io.calls.remove(session, id);
            if let Some(outbox) = io.callers.outbox(session) {
                let error = "the caller has given the call up";
                let error = CallError::not_run(ErrorKind::Cancelled, error);
                outbox.fail(id, Bill::default(), &error);
            }
        }
    }
}

/// Answers the caller.
fn reply(inquiry: &Inquiry, io: &mut Io<'_, Orchestrator>) {
    if let Some(outbox) = io.callers.outbox(inquiry.session) {
        let (id, bill) = (inquiry.id, Bill::default());
        outbox.answer(id, bill, inquiry.catalog.encode());
    }
}
