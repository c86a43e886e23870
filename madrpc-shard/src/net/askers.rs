//! Those who wait for an answer that is made for all of them at once, counted, so that nobody makes a queue of them.
//!
//! Such answers are made at intervals: a snapshot of a server, or what an orchestrator's nodes have. A caller can ask much more
//! often than that; who has enough answers to come already is refused, before anything is kept of the call.

use super::endpoint::SessionKey;
use madrpc_core::call::{CallError, ErrorKind};
use std::collections::HashMap;

/// Answers that one session may wait for.
pub(crate) const PER_SESSION: usize = 8;

/// Answers that all sessions of a shard may wait for: of snapshots, a quarter of what they are sent in a second where those are
/// large.
pub(crate) const PER_SHARD: usize = 256;

/// The sessions that wait, with the numbers of their calls. A session that has ended stays until its answers have come.
#[derive(Debug, Default)]
pub(crate) struct Askers {
    by_session: HashMap<SessionKey, Vec<u64>>,
    all: usize,
}

impl Askers {
    /// A session asks by the call of this number.
    ///
    /// # Errors
    /// `Overloaded` where it waits for several answers already, or very many others do.
    pub(crate) fn asks(&mut self, session: SessionKey, id: u64) -> Result<(), CallError> {
        let own = self.by_session.get(&session).map_or(0, Vec::len);
        if own >= PER_SESSION || self.all >= PER_SHARD {
            let error = format!(
                "{own} requests of this kind by this session and {} by all wait already; the limits are {PER_SESSION} and \
                 {PER_SHARD}",
                self.all
            );
            return Err(CallError::not_run(ErrorKind::Overloaded, error));
        }
        self.by_session.entry(session).or_default().push(id);
        self.all += 1;
        Ok(())
    }

    /// Whether a session waits for the answer to its call of this number.
    pub(crate) fn has(&self, session: SessionKey, id: u64) -> bool {
        let own = self.by_session.get(&session);
        own.is_some_and(|ids| ids.contains(&id))
    }

    /// A call has got its answer, or wants none.
    pub(crate) fn answered(&mut self, session: SessionKey, id: u64) {
        if let Some(ids) = self.by_session.get_mut(&session)
            && let Some(at) = ids.iter().position(|one| *one == id)
        {
            ids.swap_remove(at);
            self.all -= 1;
            if ids.is_empty() {
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
        for id in 0..PER_SESSION as u64 {
            askers.asks(session(0), id).unwrap();
        }
        let refused = askers.asks(session(0), 9).unwrap_err();
        assert_eq!(
            (refused.kind, refused.may_have_run),
            (ErrorKind::Overloaded, false)
        );
        askers.asks(session(1), 3).unwrap();
        askers.answered(session(0), 3);
        assert!(!askers.has(session(0), 3) && askers.has(session(1), 3));
        askers.asks(session(0), 9).unwrap();
        askers.asks(session(0), 10).unwrap_err();
    }

    #[test]
    fn all_sessions_together_wait_for_a_bounded_number() {
        let mut askers = Askers::default();
        let asked = (0..10_000).filter(|&index| askers.asks(session(index), 7).is_ok());
        assert_eq!(asked.count(), PER_SHARD);
        (0..10_000).for_each(|index| askers.answered(session(index), 7));
        assert_eq!((askers.all, askers.by_session.len()), (0, 0));
        askers.asks(session(0), 7).unwrap();
    }
}
