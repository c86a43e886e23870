//! Those who wait for a snapshot, counted, so that nobody makes a queue of them.
//!
//! Snapshots are made at intervals, and one is the answer to all who have asked meanwhile. A caller can ask much more
//! often than that; who has enough answers to come already is refused here, before the control thread hears of it.

use crate::net::endpoint::SessionKey;
use madrpc_core::call::{CallError, ErrorKind};
use std::collections::HashMap;

/// Snapshots that one session may wait for.
const PER_SESSION: usize = 8;

/// Snapshots that all sessions of a shard may wait for: a quarter of what they are sent in a second where a snapshot is
/// large.
const PER_SHARD: usize = 256;

/// The sessions that wait, with the number of answers still to come. A session that has ended stays until those have come.
#[derive(Debug, Default)]
pub(crate) struct Askers {
    by_session: HashMap<SessionKey, usize>,
    all: usize,
}

impl Askers {
    /// A session asks.
    ///
    /// # Errors
    /// `Overloaded` where it waits for several answers already, or very many others do.
    pub(crate) fn asks(&mut self, session: SessionKey) -> Result<(), CallError> {
        let own = self.by_session.get(&session).copied().unwrap_or_default();
        if own >= PER_SESSION || self.all >= PER_SHARD {
            let error = format!(
                "{own} requests for statistics of this session and {} of all wait already; the limits are {PER_SESSION} \
                 and {PER_SHARD}",
                self.all
            );
            return Err(CallError::not_run(ErrorKind::Overloaded, error));
        }
        self.by_session.insert(session, own + 1);
        self.all += 1;
        Ok(())
    }

    /// A session gets an answer.
    pub(crate) fn answered(&mut self, session: SessionKey) {
        if let Some(waiting) = self.by_session.get_mut(&session) {
            *waiting -= 1;
            self.all -= 1;
            if *waiting == 0 {
                self.by_session.remove(&session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(index: usize) -> SessionKey {
        SessionKey {
            index,
            generation: 1,
        }
    }

    #[test]
    fn one_session_waits_for_a_few_answers_and_leaves_the_others_their_place() {
        let mut askers = Askers::default();
        for _ in 0..PER_SESSION {
            askers.asks(session(0)).unwrap();
        }
        let refused = askers.asks(session(0)).unwrap_err();
        assert_eq!(
            (refused.kind, refused.may_have_run),
            (ErrorKind::Overloaded, false)
        );
        askers.asks(session(1)).unwrap();
        askers.answered(session(0));
        askers.asks(session(0)).unwrap();
        askers.asks(session(0)).unwrap_err();
    }

    #[test]
    fn all_sessions_together_wait_for_a_bounded_number() {
        let mut askers = Askers::default();
        let asked = (0..10_000).filter(|&index| askers.asks(session(index)).is_ok());
        assert_eq!(asked.count(), PER_SHARD);
        (0..10_000).for_each(|index| askers.answered(session(index)));
        assert_eq!((askers.all, askers.by_session.len()), (0, 0));
        askers.asks(session(0)).unwrap();
    }
}
