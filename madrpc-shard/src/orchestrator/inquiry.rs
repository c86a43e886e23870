//! Inquiries: what can be called, asked of every node and answered in one.
//!
//! Each node has the same short time to answer; one that does not is named in the answer and holds nobody up. Rare
//! enough to be searched through, and nothing of it is in the way of a call.

use crate::catalog::{Catalog, FUNCTIONS};
use crate::endpoint::{Endpoint, SessionKey};
use crate::handler::Incoming;
use crate::upstream::{Outcome, Request};
use madrpc_core::error::CallError;
use madrpc_core::session::Outbox;
use std::collections::HashMap;
use std::sync::Arc;
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
    /// Opens an inquiry: `ask` is given each node's number, what to send it, and the inquiry's number.
    pub(super) fn open(
        &mut self,
        call: &Incoming<'_>,
        mut catalog: Catalog,
        nodes: &[Arc<str>],
        outbox: &mut Outbox,
        mut ask: impl FnMut(usize, &Request<'_>, u64) -> Result<(), CallError>,
    ) {
        self.last += 1;
        let deadline = call.request.deadline.min(call.arrived + ANSWER_TIMEOUT);
        let request = Request {
            function: FUNCTIONS,
            deadline,
            ..call.request
        };
        let mut left = 0;
        for (number, name) in nodes.iter().enumerate() {
            match ask(number, &request, self.last) {
                Ok(()) => left += 1,
                Err(error) => catalog.add_silent(name, error.message),
            }
        }
        if left == 0 {
            return catalog.reply(call.id, outbox);
        }
        let inquiry = Inquiry {
            session: call.session,
            id: call.id,
            catalog,
            left,
        };
        self.open.insert(self.last, inquiry);
    }

    /// Takes in what a node has answered; the last one's answer makes the reply.
    pub(super) fn take(
        &mut self,
        number: u64,
        node: &str,
        outcome: &Outcome<'_>,
        callers: &mut Endpoint,
    ) {
        // Its caller may have given it up.
        let Some(inquiry) = self.open.get_mut(&number) else {
            return;
        };
        let added = match outcome {
            Outcome::Reply { body, .. } => inquiry.catalog.add_answer(node, body),
            Outcome::Failure { body, .. } => Err(CallError::from_body(body).message),
            Outcome::Lost(error) => Err(error.message.clone()),
        };
        if let Err(reason) = added {
            inquiry.catalog.add_silent(node, reason);
        }
        inquiry.left -= 1;
        if inquiry.left == 0
            && let Some(inquiry) = self.open.remove(&number)
            && let Some(outbox) = callers.outbox(inquiry.session)
        {
            inquiry.catalog.reply(inquiry.id, outbox);
        }
    }

    /// A caller gives up its inquiry with this number, or all of its inquiries.
    pub(super) fn forget(&mut self, session: SessionKey, id: Option<u64>) {
        self.open.retain(|_, inquiry| {
            inquiry.session != session || id.is_some_and(|id| id != inquiry.id)
        });
    }
}
