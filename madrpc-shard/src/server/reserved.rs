//! Calls that a shard answers itself: those of reserved functions, and those that nobody may or can run.

use super::control::ToControl;
use super::messages::Caller;
use super::own_certificates::OwnCertificates;
use super::remote::Wish;
use crate::net::askers::Askers;
use crate::net::endpoint::Endpoint;
use bytes::Bytes;
use madrpc_core::call::catalog::FUNCTIONS;
use madrpc_core::call::control::{DRAIN, PING, RELOAD, RESERVED_PREFIX, UNDRAIN};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::{PeerCertificate, Permissions, Role};
use madrpc_core::limits::{BODY_MAX_BYTES, BODY_STALL_TIMEOUT};
use madrpc_core::stats::STATS;
use madrpc_core::value::Value;
use std::sync::mpsc::Sender;
use std::time::Instant;

/// A reserved function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reserved {
    Functions,
    Ping,
    Stats,
    Drain,
    Undrain,
    Reload,
}

impl Reserved {
    const ALL: [(&str, Self); 6] = [
        (DRAIN, Self::Drain),
        (FUNCTIONS, Self::Functions),
        (PING, Self::Ping),
        (RELOAD, Self::Reload),
        (STATS, Self::Stats),
        (UNDRAIN, Self::Undrain),
    ];

    /// The one of this name; nothing where it is not reserved.
    ///
    /// # Errors
    /// Where it is, and there is none.
    #[inline]
    pub(super) fn of_name(function: &str) -> Result<Option<Self>, CallError> {
        match function.starts_with(RESERVED_PREFIX) {
            true => Self::find(function).map(Some),
            false => Ok(None),
        }
    }

    #[cold]
    fn find(function: &str) -> Result<Self, CallError> {
        let found = Self::ALL.iter().find(|(name, _)| *name == function);
        found.map(|(_, reserved)| *reserved).ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name).join(", ");
            let error = format!("no reserved function is called `{function}`; there are {names}");
            CallError::not_run(ErrorKind::NoSuchFunction, error)
        })
    }

    const fn is_for_operators(self) -> bool {
        !matches!(self, Self::Functions | Self::Ping)
    }
}

/// Whether the peer with this certificate may call a reserved function.
#[inline(never)]
pub(super) fn check_operator(
    reserved: Reserved,
    function: &str,
    peer: Option<&PeerCertificate>,
) -> Result<(), CallError> {
    let role = peer.and_then(|peer| peer.role);
    if !reserved.is_for_operators() || role == Some(Role::Operator) {
        return Ok(());
    }
    let role = role.map_or("none", Role::name);
    let error = format!(
        "`{function}` is for operators, and the certificate is for the role {role}: use one that `madrpc tls issue operator` has made"
    );
    Err(CallError::not_run(ErrorKind::Unauthorized, error))
}

/// Whether the peer with this certificate may announce itself, if it is a node.
pub(super) fn check_join(
    permissions: &Permissions,
    peer: Option<&PeerCertificate>,
) -> Result<(), String> {
    let node = peer.filter(|peer| peer.role == Some(Role::Node));
    let name = node.map_or("", |node| &node.name);
    match permissions.check_join(name) {
        Err(may) if node.is_some() => Err(format!(
            "nodes that may announce themselves here are {may}, and this is node:{name} (--join)"
        )),
        _ => Ok(()),
    }
}

/// Whether the peer with this certificate may call a function.
///
/// One with one of the server's `own` certificates may: it is the server's HTTP, which knows its callers and has looked. (Anybody
/// else who had its key could answer calls in its place, and read them.)
#[cold]
#[inline(never)]
pub(super) fn check_permissions(
    permissions: &Permissions,
    function: &str,
    peer: Option<&PeerCertificate>,
    own: &OwnCertificates,
) -> Result<(), CallError> {
    if peer.is_some_and(|peer| own.contains(&peer.fingerprint, Instant::now)) {
        return Ok(());
    }
    let role = peer.and_then(|peer| peer.role);
    let name = peer.map_or("", |peer| &peer.name);
    permissions.check(function, role, name).map_err(|may| {
        let role = role.map_or("none", Role::name);
        let error =
            format!("`{function}` may be called by {may}, and this is {role}:{name} (--allow)");
        CallError::not_run(ErrorKind::Unauthorized, error)
    })
}

/// Why a server that is being stopped, or drained, takes no call.
#[cold]
pub(super) fn not_serving(role: &str, name: &str, is_draining: bool) -> CallError {
    let error = match is_draining {
        true => format!("{role} {name} is drained and takes no new calls (madrpc undrain)"),
        false => "this process is stopping and takes no new calls".to_owned(),
    };
    CallError::not_run(ErrorKind::Unavailable, error)
}

/// Answers a call of a reserved function that needs no service, now or by way of the control thread.
#[cold]
#[inline(never)]
pub(super) fn answer(
    reserved: Reserved,
    caller: Caller,
    callers: &mut Endpoint,
    askers: &mut Askers,
    control: &Sender<ToControl>,
) {
    let Caller { session, id, .. } = caller;
    let asked = match reserved {
        Reserved::Stats => ToControl::WantSnapshot(caller),
        Reserved::Drain => ToControl::Remote(Wish::Drain(true), caller),
        Reserved::Undrain => ToControl::Remote(Wish::Drain(false), caller),
        Reserved::Reload => ToControl::Remote(Wish::Reload, caller),
        Reserved::Ping | Reserved::Functions => {
            let nothing = Bytes::from_static(&Value::UNDEFINED_BYTES);
            return callers.answer(session, id, Ok(&nothing));
        }
    };
    match askers.asks(session, id) {
        // It fails only while the process ends.
        Ok(()) => drop(control.send(asked)),
        Err(error) => callers.answer(session, id, Err(&error)),
    }
}

#[cold]
pub(super) fn too_large(bytes: usize) -> CallError {
    let error = format!("the arguments have {bytes} bytes, and at most {BODY_MAX_BYTES} are taken");
    CallError::not_run(ErrorKind::PayloadTooLarge, error)
}

/// Why a call is not run whose arguments have begun to come.
#[cold]
pub(super) fn stalled() -> CallError {
    let seconds = BODY_STALL_TIMEOUT.as_secs();
    let error = format!("the rest of the arguments has not come for {seconds} s");
    CallError::not_run(ErrorKind::Overloaded, error)
}
