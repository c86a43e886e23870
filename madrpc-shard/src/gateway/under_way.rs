//! Requests under way, from when they are whole until their answers are taken: so few at a time that connections are left for
//! whoever asks whether the server is well.

use super::access::{Caller, Need};
use super::connections::CONNECTIONS_MAX;
use madrpc_core::call::{CallError, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests of callers at a time, and those of one of them.
pub(super) const CALLS_MAX: usize = 384;
pub(super) const CALLERS_MAX: usize = 256;

/// Requests for what only operators may see.
const DOCUMENTS_MAX: usize = 64;

const _: () = assert!(CALLERS_MAX < CALLS_MAX && CALLS_MAX + DOCUMENTS_MAX < CONNECTIONS_MAX);

/// What is told to come again, where there are too many.
const RETRY: Duration = Duration::from_secs(1);

/// How many there may be yet.
#[derive(Debug, Clone)]
pub(super) struct UnderWay {
    calls: Arc<Semaphore>,
    documents: Arc<Semaphore>,
}

/// That one is under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    _all: OwnedSemaphorePermit,
    _own: Option<OwnedSemaphorePermit>,
}

impl UnderWay {
    pub(super) fn new() -> Self {
        Self {
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            documents: Arc::new(Semaphore::new(DOCUMENTS_MAX)),
        }
    }

    /// Counts a request of somebody.
    ///
    /// # Errors
    /// `Overloaded`, where he has as many as he may have, or all have.
    pub(super) fn enter(&self, need: Need, caller: &Caller) -> Result<Counted, CallError> {
        let (all, own) = match need {
            Need::Operator => (&self.documents, None),
            Need::Nothing | Need::Caller => {
                let own = one(&caller.requests).ok_or_else(|| CallError {
                    of_caller: true,
                    ..too_many(&format!(
                        "{} has {CALLERS_MAX} HTTP requests under way",
                        caller.owner
                    ))
                })?;
                (&self.calls, Some(own))
            }
        };
        let error = "too many HTTP requests are under way";
        let all = one(all).ok_or_else(|| too_many(error))?;
        Ok(Counted {
            _all: all,
            _own: own,
        })
    }
}

fn one(of: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(of).try_acquire_owned().ok()
}

fn too_many(error: &str) -> CallError {
    CallError::not_run(ErrorKind::Overloaded, error).with_retry_after(RETRY)
}
