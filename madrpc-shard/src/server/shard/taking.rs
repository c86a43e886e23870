//! What callers say is taken in: calls go to the service, those of reserved functions are answered here, and so is what may not or
//! cannot be run.

use super::leaving::Stage;
use super::{Announcing, Shard};
use crate::net::askers::Askers;
use crate::net::dial::{Item, Request, Upstreams, check_name};
use crate::net::endpoint::SessionKey;
use crate::net::incoming::{Incoming, number_taken};
use crate::net::service::{Io, Service};
use crate::server::messages::Caller;
use crate::server::reserved::{
    Reserved, answer, check_join, check_operator, check_permissions, not_serving, stalled,
    too_large,
};
use madrpc_core::call::CallError;
use madrpc_core::call::frame::{Frame, Header};
use madrpc_core::identity::Permissions;
use madrpc_core::limits::TIMEOUT_MAX;
use madrpc_core::numbers::later;
use madrpc_core::session::Event;
use std::time::{Duration, Instant};

impl<S: Service> Shard<S> {
    /// Takes in what the callers say. It is laid out apart, and so is what seldom comes: a frame of the stack of more than 4 KiB
    /// makes loads wait for stores that only look like theirs, which took a tenth of the time of a tiny call.
    #[inline(never)]
    pub(super) fn take_calls(&mut self, now: Instant) {
        let Self {
            seat,
            callers,
            calls,
            upstreams,
            announcing,
            service,
            buffer,
            control,
            askers,
            permissions,
            own,
            stage,
            is_draining,
            ..
        } = self;
        loop {
            let is_crowded = upstreams.as_ref().is_some_and(Upstreams::is_crowded);
            callers.hold_those_ahead(is_crowded);
            let Some((session, event)) = callers.next_frame(buffer, now) else {
                break;
            };
            let mut io = Io {
                now,
                callers,
                calls,
                upstreams: upstreams.as_mut(),
            };
            let Event::Frame(Frame {
                header:
                    Header::Call {
                        id,
                        function,
                        timeout_us,
                        depth,
                        account,
                    },
                fields,
                body,
            }) = event
            else {
                let known = (announcing.as_mut(), &**permissions, &*askers);
                take_other(service, &mut io, session, &event, known);
                continue;
            };
            let reserved = match Reserved::of_name(function) {
                Ok(reserved) => reserved,
                Err(error) => {
                    refuse(&mut io, askers, session, id, &error);
                    continue;
                }
            };
            let is_taken = match reserved {
                _ if *stage != Stage::Serving => Err(not_serving(seat.role, &seat.name, false)),
                Some(reserved) => check_operator(reserved, function, io.callers.peer(session)),
                None if *is_draining => Err(not_serving(seat.role, &seat.name, true)),
                None if permissions.is_empty() => check_name(function),
                None => check_name(function).and_then(|()| {
                    check_permissions(permissions, function, io.callers.peer(session), own)
                }),
            };
            if let Err(error) = is_taken {
                refuse(&mut io, askers, session, id, &error);
                continue;
            }
            if let Some(reserved) = reserved {
                if is_under_way(&mut io, askers, session, id) {
                    continue;
                }
                if reserved == Reserved::Functions {
                    service.on_inquiry(session, id, &mut io);
                    continue;
                }
                let shard = seat.shard;
                let caller = Caller { shard, session, id };
                answer(reserved, caller, io.callers, askers, control);
                continue;
            }
            let timeout = Duration::from_micros(timeout_us).min(TIMEOUT_MAX);
            let call = Incoming {
                session,
                id,
                request: Request {
                    function,
                    body,
                    deadline: later(now, timeout),
                    depth,
                    account,
                    fields,
                },
                arrived: now,
            };
            service.on_call(&call, &mut io);
        }
    }
}

/// Whether a caller has given this number to a call that is under way: it would take this one's answer for that one's. Then its
/// session ends. Who is given a call that runs looks for itself.
#[cold]
#[inline(never)]
fn is_under_way<S: Service>(
    io: &mut Io<'_, S>,
    askers: &Askers,
    session: SessionKey,
    id: u64,
) -> bool {
    let is_taken = io.calls.get(session, id).is_some() || askers.has(session, id);
    if is_taken {
        io.callers.break_off(session, &number_taken(id));
    }
    is_taken
}

/// Tells a caller why its call is not run.
#[cold]
#[inline(never)]
fn refuse<S: Service>(
    io: &mut Io<'_, S>,
    askers: &Askers,
    session: SessionKey,
    id: u64,
    error: &CallError,
) {
    if !is_under_way(io, askers, session, id) {
        io.callers.answer(session, id, Err(error));
    }
}

/// Something has come that is no call.
#[inline(never)]
fn take_other<S: Service>(
    service: &mut S,
    io: &mut Io<'_, S>,
    session: SessionKey,
    event: &Event<'_>,
    (announcing, permissions, askers): (Option<&mut Announcing>, &Permissions, &Askers),
) {
    let header = match event {
        Event::TooLarge {
            header: Header::Call { id, .. },
            bytes,
        } => return refuse(io, askers, session, *id, &too_large(*bytes)),
        Event::Stalled {
            header: Header::Call { id, .. },
        } => return refuse(io, askers, session, *id, &stalled()),
        Event::TooLarge { .. } | Event::Stalled { .. } => {
            return take_servers_frame(service, io, session, event);
        }
        // Callers have no bound of that kind.
        Event::NoRoom { .. } | Event::Broken(_) => return,
        Event::Frame(frame) => frame.header,
    };
    match header {
        Header::Cancel { id } => {
            if let Some(call) = io.calls.get(session, id) {
                service.on_cancel(call, io);
            }
        }
        Header::Credit { id, frames } => {
            if let Some(call) = io.calls.get(session, id) {
                service.on_credit(call, frames, io);
            }
        }
        Header::Welcome { shards, .. } => {
            if let Some(announcing) = announcing {
                announcing.on_welcome(session, shards, io.now);
            }
            let is_asked = io.upstreams.is_some();
            if is_asked && let Err(why) = check_join(permissions, io.callers.peer(session)) {
                return io.callers.turn_away(session, &why);
            }
            take_servers_frame(service, io, session, event);
        }
        // A server's: of one that announces itself, or has done so.
        Header::GoAway { .. }
        | Header::Item { .. }
        | Header::Reply { .. }
        | Header::Failure { .. }
        | Header::Taken { .. }
        | Header::Functions { .. }
        | Header::Draining { .. } => take_servers_frame(service, io, session, event),
        Header::Call { .. } | Header::Unknown => {}
    }
}

/// A frame of a server has come on a session of a caller: of a node that announces itself, or has done so.
fn take_servers_frame<S: Service>(
    service: &mut S,
    io: &mut Io<'_, S>,
    session: SessionKey,
    event: &Event<'_>,
) {
    let Some(upstreams) = io.upstreams.as_mut() else {
        return;
    };
    let key = upstreams.on_callers_frame(io.callers, session, event, io.now);
    if let Some(joined) = upstreams.take_joined() {
        service.on_targets(&joined);
    }
    let Some(key) = key else {
        return;
    };
    if let Some((tag, target, outcome)) = upstreams.on_frame(key, event, io.now) {
        service.on_outcome(tag, target, outcome, io);
    } else if let (Some(call), Some(item)) = (upstreams.take_item(), Item::of(event)) {
        service.on_item(call, item, io);
    }
}
