//! What operators ask of a server over the network, beside statistics: to drain, to take calls again, to reload.

use super::messages::{Caller, Inbox, ToShard};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::limits::BODY_MAX_BYTES;
use madrpc_core::value::Value;
use std::fmt;

/// What a shard passes on to the control thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// That all shards drain, or take calls again.
    Drain(bool),
    Reload,
}

/// An operator who waits for the server to have reloaded.
pub struct ReloadRequest {
    inbox: Inbox,
    caller: Caller,
}

impl fmt::Debug for ReloadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReloadRequest").field(&self.caller).finish()
    }
}

impl ReloadRequest {
    /// Says what the server has now, or why it goes on as before.
    pub fn answer(self, outcome: Result<String, String>) {
        let outcome = outcome.map_err(|error| {
            let error = format!("not reloaded, all goes on as before: {error}");
            CallError::may_have_run(ErrorKind::BadArguments, error)
        });
        answer(&self.inbox, self.caller, outcome.map(Value::from));
    }
}

/// Who carries out what an operator asks for.
#[derive(Default)]
pub(crate) struct Remote {
    inboxes: Vec<Inbox>,
    reload: Option<Box<dyn FnMut(ReloadRequest) + Send>>,
}

impl Remote {
    pub(crate) fn new(inboxes: Vec<Inbox>) -> Self {
        Self {
            inboxes,
            reload: None,
        }
    }

    pub(crate) fn set_reload(&mut self, reload: Box<dyn FnMut(ReloadRequest) + Send>) {
        self.reload = Some(reload);
    }

    pub(crate) fn carry_out(&mut self, wish: Wish, caller: Caller) {
        let Some(inbox) = self.inboxes.get(usize::from(caller.shard)).cloned() else {
            return;
        };
        match (wish, &mut self.reload) {
            (Wish::Drain(is_draining), _) => {
                super::control::tell(&self.inboxes, || ToShard::SetDraining(is_draining));
                answer(&inbox, caller, Ok(Value::Undefined));
            }
            (Wish::Reload, Some(reload)) => reload(ReloadRequest { inbox, caller }),
            (Wish::Reload, None) => {
                let error = "this server has nothing that it reads anew";
                let error = CallError::not_run(ErrorKind::BadArguments, error);
                answer(&inbox, caller, Err(error));
            }
        }
    }
}

fn answer(inbox: &Inbox, caller: Caller, outcome: Result<Value, CallError>) {
    let outcome = outcome.and_then(|value| {
        let mut body = Vec::new();
        let written = value.encode(&mut body, BODY_MAX_BYTES);
        written.map_err(|error| CallError::may_have_run(ErrorKind::Internal, error.to_string()))?;
        Ok(body.into())
    });
    // A shard that has ended has no callers any more.
    let _ = inbox.send(ToShard::Answer(caller, outcome));
}
