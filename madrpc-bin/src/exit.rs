//! How the command ends: its exit codes, and the one line that says why.
//!
//! The codes are in `--help` (args/help.rs); scripts rely on them.

use crate::output::{self, StdoutError};
use crate::service_manager;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::IdentityError;
use madrpc_core::value::Value;
use madrpc_core::value::json::to_json;
use madrpc_shard::client::ClientError;
use madrpc_shard::client::load;
use madrpc_shard::discovery::DiscoveryError;
use madrpc_shard::engine::ScriptError;
use madrpc_shard::gateway::GatewayError;
use madrpc_shard::net::address::AddressError;
use madrpc_shard::net::steer::BindError;
use madrpc_shard::server::StartError;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::path::Path;
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
    /// The lines of the script around the place, where they are shown.
    code: Vec<String>,
    /// Whether it has been said already, at more length.
    is_said: bool,
}

impl Failure {
    pub(crate) fn new(reason: Reason, message: impl std::fmt::Display) -> Self {
        Self {
            reason,
            message: format!("error: {message}"),
            stack: String::new(),
            code: Vec::new(),
            is_said: false,
        }
    }

    /// The same, with the lines of the script around the place that the stack names, of files below `dir`.
    pub(crate) fn with_code(self, dir: &Path) -> Self {
        let code = output::code_frame(&self.stack, dir);
        Self { code, ..self }
    }

    /// The same, of which the line begins so.
    pub(crate) fn after(self, before: &str) -> Self {
        let message = format!("error: {before}{}", self.reason());
        Self { message, ..self }
    }

    /// The line, where others say already that it is an error.
    pub(crate) fn reason(&self) -> &str {
        self.message.trim_start_matches("error: ")
    }

    /// What is said below the line: the JavaScript stack, frame by frame, and the lines of the script.
    pub(crate) fn below(&self) -> impl Iterator<Item = &str> {
        let code = self.code.iter().map(String::as_str);
        self.stack.lines().map(str::trim).chain(code)
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
            StartError::Address(_)
            | StartError::Bind(BindError::Refused { .. })
            | StartError::Shard(_) => Self::new(Reason::Other, error),
            // The clock of a machine that has just booted may be set right in a moment.
            StartError::Identity(IdentityError::NotValidNow { .. }) => {
                Self::new(Reason::Other, error)
            }
            error => Self::unfit(error),
        }
    }
}

impl From<GatewayError> for Failure {
    fn from(error: GatewayError) -> Self {
        match error {
            // An address can come.
            GatewayError::Refused { .. } => Self::new(Reason::Other, error),
            error => Self::unfit(error),
        }
    }
}

impl From<StdoutError> for Failure {
    fn from(error: StdoutError) -> Self {
        Self::new(Reason::Other, error)
    }
}

impl From<AddressError> for Failure {
    fn from(error: AddressError) -> Self {
        Self::new(Reason::Other, error)
    }
}

impl From<DiscoveryError> for Failure {
    fn from(error: DiscoveryError) -> Self {
        let reason = match error {
            DiscoveryError::File(_) => Reason::Unfit,
            DiscoveryError::Address(_) | DiscoveryError::System(_) => Reason::Other,
        };
        Self::new(reason, error)
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
            // Its form is right (args/parse.rs), so it is the host that nobody knows.
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
        let mut stack = String::new();
        if let Some(exception) = &error.exception {
            stack.clone_from(&exception.stack);
            if let Some(Value::Object(mut data)) = exception.value() {
                // The message has said that.
                let is_said = |key: &str| matches!(key, "name" | "message" | "kind" | "mayHaveRun");
                data.retain(|(key, _)| !is_said(key));
                if !data.is_empty() && !exception.stack.is_empty() {
                    stack += &format!("\nwith {}", to_json(&Value::Object(data)));
                }
            }
        }
        Self {
            reason: error.kind.into(),
            message: error.to_string(),
            stack,
            code: Vec::new(),
            is_said: false,
        }
    }
}

/// Shows what the parser of the command line has to say instead of a command: help or the version, or, which is a failure,
/// how the command line is wrong.
///
/// # Errors
/// Wrong usage; help that cannot be written.
pub(crate) fn show(by_parser: &clap::Error) -> Result<(), Failure> {
    let text = by_parser.render();
    if !by_parser.use_stderr() {
        let text = match output::has_colours(&std::io::stdout()) {
            true => text.ansi().to_string(),
            false => text.to_string(),
        };
        return Ok(output::result(text.trim_end())?);
    }
    output::say_as_is(match output::has_colours(&std::io::stderr()) {
        true => text.ansi().to_string(),
        false => text.to_string(),
    });
    let text = text.to_string();
    let first = text.lines().next().unwrap_or_default();
    Err(Failure {
        is_said: true,
        ..Failure::new(Reason::Usage, first.trim_start_matches("error: "))
    })
}

/// Has panics told of as all else is, and end the process: what std writes to stderr by itself could wait there for ever, and
/// half of a server is worse than none. Those of calls never get here.
pub(crate) fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let place = panic.location().map(ToString::to_string);
        let text = format!(
            "thread `{}` panicked at {}: {}",
            thread.name().unwrap_or("unnamed"),
            place.as_deref().unwrap_or("an unknown place"),
            panic.payload_as_str().unwrap_or("no message")
        );
        // Empty unless RUST_BACKTRACE asks for it.
        let backtrace = Backtrace::capture();
        let frames = match backtrace.status() {
            BacktraceStatus::Captured => backtrace.to_string(),
            _ => String::new(),
        };
        output::say_last(&text, frames.lines());
        std::process::abort();
    }));
}

/// The exit code of an outcome; says on stderr what a failure was, and tells the service manager where there is one.
pub(crate) fn code(outcome: Result<(), Failure>) -> ExitCode {
    let Err(failure) = outcome else {
        output::finish();
        return ExitCode::SUCCESS;
    };
    service_manager::failed(&failure.message);
    match failure.is_said {
        true => output::finish(),
        false => output::say_last(&failure.message, failure.below()),
    }
    ExitCode::from(failure.reason as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn every_kind_of_error_has_its_documented_code() {
        let codes =
            ErrorKind::ALL.map(|kind| Failure::from(CallError::not_run(kind, "")).reason as u8);
        assert_eq!(codes, [4, 1, 3, 5, 1, 1, 1, 1, 6, 6, 1, 6, 1, 1]);
    }

    #[test]
    fn a_panic_of_any_thread_is_told_and_ends_the_process() {
        const CHILD: &str = "MADRPC_TEST_PANICKING_CHILD";
        if std::env::var_os(CHILD).is_some() {
            tell_panics();
            let _ = std::thread::spawn(|| panic!("on purpose")).join();
            return;
        }
        let test = "exit::tests::a_panic_of_any_thread_is_told_and_ends_the_process";
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(6), "{said}");
        let lines = said.lines().filter(|line| line.ends_with(": on purpose"));
        assert_eq!(lines.count(), 1, "{said}");
    }
}
