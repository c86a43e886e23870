//! Which session the next call takes.

use super::links::{Keep, Place};
use super::request::Request;
use super::{Upstreams, is_large};
use crate::net::endpoint::SessionKey;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::fleet::{Attempt, NoMember, digest};
use std::time::Instant;

impl<T> Upstreams<T> {
    /// A link for the next try of a call, and its session. Small ones wait for no large ones. `left` is the process that the call
    /// leaves.
    #[inline]
    pub(super) fn pick(
        &mut self,
        attempt: &mut Attempt,
        now: Instant,
        request: &Request<'_>,
        left: Option<u64>,
    ) -> Result<(Place, SessionKey), CallError> {
        if self.keep != Keep::Always || self.router.is_cut_off() {
            if self.membership.chooser.is_some() {
                self.look_where_cut_off(now);
            }
            self.dial(now);
        }
        // Where there is none at all, the next that can be dialled has to do.
        while self.router.is_cut_off()
            && let Some(place) = self.dialing.next()
        {
            self.dial_link(place, now);
        }
        if !attempt.is_new()
            && let Some(picked) = self.pick_elsewhere(attempt, now, request, left)
        {
            return Ok(picked);
        }
        let (mut behind, is_large) = (0, is_large(request));
        let backlog_max = self.keep.backlog_max_bytes();
        let Self {
            wires,
            targets,
            calls,
            router,
            ..
        } = self;
        // A session whose handshake is still going on comes second: nobody knows yet whether it will get through.
        let key = || request.fields.of_call().key.map(digest);
        let picked = router.pick(attempt, now, key, |target, is_open| {
            targets[target].pick(is_open, |session, list| {
                let is_behind = wires.has_backlog(session, is_large, backlog_max);
                behind += usize::from(is_behind);
                (!is_behind).then(|| calls.length(list))
            })
        });
        let why = match picked {
            Ok((target, (link, session))) => return Ok((Place::new(target, link), session)),
            Err(why) => why,
        };
        Err(self.why_none(why, behind, request))
    }

    /// A link for a call that has been on another target, or has lost nodes. Where there are others, it is not to a node that a call
    /// above it is on: it would take that one with it, which then is made again. Nor is it to the process that it leaves, which may be
    /// known as two targets: as the one that it was on, and as one that has announced itself.
    #[cold]
    fn pick_elsewhere(
        &mut self,
        attempt: &mut Attempt,
        now: Instant,
        request: &Request<'_>,
        left: Option<u64>,
    ) -> Option<(Place, SessionKey)> {
        let said = request.fields.of_call();
        if said.above.0.is_empty() && left.is_none() {
            return None;
        }
        let (is_large, backlog_max) = (is_large(request), self.keep.backlog_max_bytes());
        let Self {
            wires,
            targets,
            calls,
            router,
            ..
        } = self;
        let key = || said.key.map(digest);
        let picked = router.pick(attempt, now, key, |target, is_open| {
            let target = &mut targets[target];
            // One of which nobody knows whether it is there comes after those that are.
            let is_out = |one: u64| said.above.contains(one) || left == Some(one);
            if !is_open || target.instance.is_some_and(is_out) {
                return None;
            }
            target.pick(is_open, |session, list| {
                let is_behind = wires.has_backlog(session, is_large, backlog_max);
                (!is_behind).then(|| calls.length(list))
            })
        });
        let (target, (link, session)) = picked.ok()?;
        Some((Place::new(target, link), session))
    }

    /// Why no link can take a call; `behind` have too much on their way.
    #[cold]
    fn why_none(&mut self, why: NoMember, behind: usize, request: &Request<'_>) -> CallError {
        if behind > 0 {
            let error = format!(
                "sessions to {} upstreams are open, and none of {behind} keeps up",
                self.router.open()
            );
            return CallError::not_run(ErrorKind::Overloaded, error);
        }
        if self.targets.there() == 0 {
            let error = "no node is known to pass calls on to: none has announced itself, and none is named by --node or --discover";
            return CallError::not_run(ErrorKind::Unavailable, error);
        }
        if why == NoMember::NoSuchFunction {
            let error = format!(
                "no function `{}` is registered; there are: {}",
                request.function,
                self.router.names()
            );
            return CallError::not_run(ErrorKind::NoSuchFunction, error);
        }
        self.targets.why_none()
    }

    pub(super) fn pick_link(
        &mut self,
        target: usize,
        is_open: bool,
        is_large: bool,
    ) -> Option<(usize, SessionKey)> {
        let backlog_max = self.keep.backlog_max_bytes();
        let Self {
            wires,
            targets,
            calls,
            ..
        } = self;
        targets.get_mut(target)?.pick(is_open, |session, list| {
            let is_behind = wires.has_backlog(session, is_large, backlog_max);
            (!is_behind).then(|| calls.length(list))
        })
    }
}
