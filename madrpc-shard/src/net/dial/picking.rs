//! Which session the next call takes.

use super::Upstreams;
use super::links::Place;
use super::unreachable::why_none;
use crate::net::endpoint::SessionKey;
use madrpc_core::call::{CallError, ErrorKind};
use std::time::Instant;

impl<T> Upstreams<T> {
    /// A link for the next call, and its session. Small ones wait for no large ones.
    pub(super) fn pick(
        &mut self,
        now: Instant,
        is_large: bool,
    ) -> Result<(Place, SessionKey), CallError> {
        self.dial(now);
        // Where there is none at all, the next that can be dialled has to do.
        while self.open.is_empty()
            && self.connecting.is_empty()
            && let Some(place) = self.due.pop_front()
        {
            self.dial_link(place, now);
        }
        let mut behind = 0;
        let backlog_max = self.keep.backlog_max_bytes();
        // A session whose handshake is still going on comes second: nobody knows yet whether it will get through.
        for is_open in [true, false] {
            let Self {
                endpoint,
                targets,
                calls,
                open,
                connecting,
                ..
            } = self;
            let turns = if is_open { open } else { connecting };
            let picked = turns.pick(|target| {
                targets[target].pick(is_open, |session, list| {
                    let is_behind = endpoint.has_backlog(session, is_large, backlog_max);
                    behind += usize::from(is_behind);
                    (!is_behind).then(|| calls.length(list))
                })
            });
            if let Some((target, (link, session))) = picked {
                return Ok((Place { target, link }, session));
            }
        }
        if behind > 0 {
            let error = format!(
                "sessions to {} upstreams are open, and none of {behind} keeps up",
                self.open.len()
            );
            return Err(CallError::not_run(ErrorKind::Overloaded, error));
        }
        let down = self.down.all().iter();
        let down = down.map(|&number| &self.targets[number]);
        let is_passing = !self.passing.is_empty();
        let unreachable = &mut self.unreachable;
        let unreachable = unreachable.get_or_insert_with(|| why_none(down, is_passing));
        Err(unreachable.clone())
    }

    pub(super) fn pick_link(
        &mut self,
        target: usize,
        is_open: bool,
        is_large: bool,
    ) -> Option<(usize, SessionKey)> {
        let backlog_max = self.keep.backlog_max_bytes();
        let Self {
            endpoint,
            targets,
            calls,
            ..
        } = self;
        targets.get_mut(target)?.pick(is_open, |session, list| {
            let is_behind = endpoint.has_backlog(session, is_large, backlog_max);
            (!is_behind).then(|| calls.length(list))
        })
    }
}
