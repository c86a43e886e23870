//! How the command ends: its exit codes, and the one line that says why.
//!
//! The codes are in `--help` (args.rs); scripts rely on them.

use crate::notify;
use crate::output::{printable, say};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::IdentityError;
use madrpc_shard::client::ClientError;
use madrpc_shard::client::load;
use madrpc_shard::engine::ScriptError;
use madrpc_shard::net::address::AddressError;
use madrpc_shard::net::steer::BindError;
use madrpc_shard::server::StartError;
use std::process::ExitCode;

/// What a failure means to a script. The number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Other = 1,
    Usage = 2,
    Threw = 3,
    NoSuchFunction = 4,
    Deadline = 5,
    Unavailable = 6,
    Bound = 7,
    /// What a server was given, or the machine, does not fit; EX_CONFIG of sysexits.h. A service manager should not start
    /// it again.
    Unfit = 78,
}

/// Why the command did not do what it was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    reason: Reason,
    /// One line: what, where, what to do.
    message: String,
    /// The JavaScript stack, a line for each frame; mostly empty.
    stack: String,
}

impl Failure {
    pub(crate) fn new(reason: Reason, message: impl std::fmt::Display) -> Self {
        Self {
            reason,
            message: format!("error: {message}"),
            stack: String::new(),
        }
    }

    /// The message, and below it the JavaScript stack where there is one.
    pub(crate) fn full(&self) -> String {
        let stack = self
            .stack
            .lines()
            .map(|frame| format!("\n    {}", printable(frame.trim())));
        format!("{}{}", printable(&self.message), stack.collect::<String>())
    }

    /// A server cannot be what it is told to be, however often it is started.
    pub(crate) fn unfit(message: impl std::fmt::Display) -> Self {
        Self::new(Reason::Unfit, message)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ScriptError> for Failure {
    fn from(error: ScriptError) -> Self {
        Self {
            stack: error.stack,
            ..Self::new(Reason::Other, error.message)
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Script(error) => Self {
                reason: Reason::Unfit,
                ..error.into()
            },
            // A name can be known later, an address can come, a thread can be had.
            StartError::Address(_) | StartError::Bind(BindError::Refused { .. }) => {
                Self::new(Reason::Other, error)
            }
            StartError::Shard(_) => Self::new(Reason::Other, error),
            error => Self::unfit(error),
        }
    }
}

impl From<AddressError> for Failure {
    fn from(error: AddressError) -> Self {
        Self::new(Reason::Other, error)
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        Self::new(Reason::Other, error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let reason = match &error {
            // Its form is right (args.rs), so it is the host that nobody knows.
            ClientError::Address(_) => Reason::Unavailable,
            _ => Reason::Other,
        };
        Self::new(reason, error)
    }
}

impl From<load::LoadError> for Failure {
    fn from(error: load::LoadError) -> Self {
        match error {
            load::LoadError::Unreachable(error) => error.into(),
            load::LoadError::Address(_) => Self::new(Reason::Unavailable, error),
            error => Self::new(Reason::Other, error),
        }
    }
}

impl From<ErrorKind> for Reason {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::JavaScript => Self::Threw,
            ErrorKind::NoSuchFunction => Self::NoSuchFunction,
            ErrorKind::DeadlineExceeded => Self::Deadline,
            ErrorKind::Unavailable | ErrorKind::Unauthorized | ErrorKind::Overloaded => {
                Self::Unavailable
            }
            _ => Self::Other,
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self {
            reason: error.kind.into(),
            message: error.to_string(),
            stack: error
                .exception
                .map(|exception| exception.stack)
                .unwrap_or_default(),
        }
    }
}

/// The exit code of an outcome; says on stderr what a failure was, and tells the service manager where there is one.
pub(crate) fn code(outcome: Result<(), Failure>) -> ExitCode {
    let Err(failure) = outcome else {
        return ExitCode::SUCCESS;
    };
    notify::failed(&failure.message);
    say(&failure.full());
    ExitCode::from(failure.reason as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_its_documented_code() {
        let codes =
            ErrorKind::ALL.map(|kind| Failure::from(CallError::not_run(kind, "")).reason as u8);
        assert_eq!(codes, [4, 1, 3, 5, 1, 1, 1, 1, 6, 6, 1, 6, 1, 1]);
    }
}
