//! The errors a caller can act on.
//!
//! Owns the kinds, their stable names and numbers, and what each says about the function having run.
//! A node, an orchestrator and a client all speak of a failed call with this one type.

use super::bill::Bill;
use super::fields::{Fields, ReplyFields};
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Why a call has no result.
///
/// The number is what a program may store and compare; it never changes and is never given to another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ErrorKind {
    /// No function of that name is registered.
    NoSuchFunction = 1,
    /// The arguments cannot be decoded, or are not what was asked for.
    BadArguments = 2,
    /// The function threw; [`CallError::exception`] says what.
    JavaScript = 3,
    /// The call's deadline passed.
    DeadlineExceeded = 4,
    /// The caller gave the call up.
    Cancelled = 5,
    /// The call used more CPU time than it may.
    CpuLimit = 6,
    /// The call used more heap than it may.
    MemoryLimit = 7,
    /// The call nested deeper than the stack allows.
    StackLimit = 8,
    /// Too many calls are waiting already.
    Overloaded = 9,
    /// Nobody can be reached who would run the call.
    Unavailable = 10,
    /// The arguments or the result are larger than the limit.
    PayloadTooLarge = 11,
    /// The peer's certificate is missing or not of our authority.
    Unauthorized = 12,
    /// The peer does not keep to the protocol.
    Protocol = 13,
    /// A defect of ours.
    Internal = 14,
}

impl ErrorKind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 14] = [
        Self::NoSuchFunction,
        Self::BadArguments,
        Self::JavaScript,
        Self::DeadlineExceeded,
        Self::Cancelled,
        Self::CpuLimit,
        Self::MemoryLimit,
        Self::StackLimit,
        Self::Overloaded,
        Self::Unavailable,
        Self::PayloadTooLarge,
        Self::Unauthorized,
        Self::Protocol,
        Self::Internal,
    ];

    /// The kind's number on the wire and in metrics.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind with this number; an unknown one, of a newer peer, reads as [`ErrorKind::Internal`].
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        let index = usize::from(number).wrapping_sub(1);
        Self::ALL.get(index).copied().unwrap_or(Self::Internal)
    }

    /// The kind's name in messages, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSuchFunction => "NoSuchFunction",
            Self::BadArguments => "BadArguments",
            Self::JavaScript => "JavaScript",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::Cancelled => "Cancelled",
            Self::CpuLimit => "CpuLimit",
            Self::MemoryLimit => "MemoryLimit",
            Self::StackLimit => "StackLimit",
            Self::Overloaded => "Overloaded",
            Self::Unavailable => "Unavailable",
            Self::PayloadTooLarge => "PayloadTooLarge",
            Self::Unauthorized => "Unauthorized",
            Self::Protocol => "Protocol",
            Self::Internal => "Internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ErrorKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for ErrorKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(Self::from_number)
    }
}

/// What JavaScript threw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// The `name` of the thrown error (`TypeError`), or the type of a thrown value that is no error.
    pub name: String,
    /// Its `message`.
    pub message: String,
    /// Its `stack`, a line `at function (file:line:column)` for each frame; empty where there is none.
    pub stack: String,
    /// What was thrown, as a result would travel: of an error an object of its name, message, cause and whatever else it has
    /// of its own. Encoded; empty where it cannot travel, or takes more than [`THROWN_MAX_BYTES`](crate::limits::THROWN_MAX_BYTES).
    pub value: Vec<u8>,
}

impl Exception {
    /// What was thrown; `None` where it could not travel.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        Value::decode(&self.value).ok()
    }
}

/// Why a call has no result, in words and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// One line: what, where, what to do.
    pub message: String,
    /// Whether the function may have started. `false` is certain: such a call can be sent again.
    pub may_have_run: bool,
    /// What was thrown; only with [`ErrorKind::JavaScript`].
    pub exception: Option<Box<Exception>>,
    /// What the call cost nevertheless; only at the caller, and only where a server answered.
    #[serde(skip)]
    pub bill: Option<Box<Bill<String>>>,
    /// When it is worth while to try again, where a server has said so, which it does beside [`ErrorKind::Overloaded`]: it travels
    /// as a field.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// It was refused for what its caller has had, and not for what its server has to do: another would refuse it as well.
    #[serde(skip)]
    pub of_caller: bool,
    /// How many nodes were lost that the call was on, beside [`ErrorKind::Unavailable`], as far as it is known. After two it is not
    /// to be made again: it may be what ends them.
    #[serde(skip)]
    pub nodes_lost: u8,
}

/// What is left of an error's words where there is no room for them.
const ABRIDGED_BYTES: usize = 100;

impl CallError {
    /// An error of a call that certainly did not start.
    pub fn not_run(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            may_have_run: false,
            exception: None,
            bill: None,
            retry_after: None,
            of_caller: false,
            nodes_lost: 0,
        }
    }

    /// An error of a call that started, or may have.
    pub fn may_have_run(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            may_have_run: true,
            ..Self::not_run(kind, message)
        }
    }

    /// The error in the body of a failure; one that cannot be read is an error of its own.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Self {
        postcard::from_bytes(body).unwrap_or_else(|_| {
            Self::may_have_run(
                ErrorKind::Protocol,
                "the peer sent an error that cannot be read",
            )
        })
    }

    /// The error in the body of a failure that came with these fields.
    #[must_use]
    pub fn from_failure(body: &[u8], fields: Fields<'_>) -> Self {
        let ReplyFields {
            retry_after_ms,
            of_caller,
            nodes_lost,
            ..
        } = fields.of_reply();
        Self {
            retry_after: retry_after_ms.map(|ms| Duration::from_millis(ms.into())),
            of_caller,
            nodes_lost,
            ..Self::from_body(body)
        }
    }

    /// What it says in fields.
    #[must_use]
    pub fn fields(&self) -> ReplyFields {
        let ms = |after: Duration| u32::try_from(after.as_millis().max(1)).unwrap_or(u32::MAX);
        ReplyFields {
            load: None,
            retry_after_ms: self.retry_after.map(ms),
            of_caller: self.of_caller,
            nodes_lost: self.nodes_lost,
        }
    }

    /// The same, which is worth while to be tried again after so long.
    #[must_use]
    pub fn with_retry_after(self, after: Duration) -> Self {
        Self {
            retry_after: Some(after),
            ..self
        }
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let exception = self.exception.as_ref().map_or(0, |thrown| {
            let Exception {
                name,
                message,
                stack,
                value,
            } = &**thrown;
            let texts = [name, message, stack].map(String::capacity);
            size_of::<Exception>() + texts.iter().sum::<usize>() + value.capacity()
        });
        size_of::<Self>() + self.message.capacity() + exception
    }

    /// Its kind and the beginning of what it says, for those who have no room for it.
    #[must_use]
    pub fn abridged(&self) -> Self {
        let end = self.message.floor_char_boundary(ABRIDGED_BYTES);
        let (message, rest) = self.message.split_at(end);
        let rest = if rest.is_empty() { "" } else { "…" };
        Self {
            may_have_run: self.may_have_run,
            nodes_lost: self.nodes_lost,
            ..Self::not_run(self.kind, format!("{message}{rest}"))
        }
    }

    /// The function threw.
    #[must_use]
    pub fn thrown(exception: Exception) -> Self {
        let says_nothing = exception.message.is_empty() || exception.message == exception.name;
        let message = if says_nothing {
            exception.name.clone()
        } else {
            format!("{}: {}", exception.name, exception.message)
        };
        Self {
            exception: Some(Box::new(exception)),
            ..Self::may_have_run(ErrorKind::JavaScript, message)
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)?;
        match self.retry_after {
            Some(after) => write!(f, "; try again in {} ms", after.as_millis()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CallError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_and_read_back() {
        for (index, kind) in ErrorKind::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(kind.number()), index + 1, "{kind}");
            assert_eq!(ErrorKind::from_number(kind.number()), kind);
        }
        assert_eq!(ErrorKind::from_number(0), ErrorKind::Internal);
        assert_eq!(ErrorKind::from_number(200), ErrorKind::Internal);
    }

    #[test]
    fn what_an_error_holds_is_counted_and_little_is_left_of_it() {
        let long = "é".repeat(5000);
        let error = CallError::thrown(Exception {
            name: "TypeError".into(),
            message: long.clone(),
            stack: long.clone(),
            value: vec![0; 10_000],
        });
        assert!(error.held_bytes() >= 40_000, "{}", error.held_bytes());
        let short = error.abridged();
        assert_eq!((short.kind, short.may_have_run), (error.kind, true));
        assert!(short.message.starts_with("TypeError: é") && short.message.ends_with('…'));
        assert!(short.held_bytes() < 400, "{}", short.held_bytes());
        let plain = CallError::not_run(ErrorKind::Cancelled, "gone");
        assert_eq!(plain.abridged(), plain);
    }

    #[test]
    fn an_exception_reads_as_name_and_message() {
        let error = CallError::thrown(Exception {
            name: "TypeError".into(),
            message: "not a function".into(),
            stack: String::new(),
            value: Vec::new(),
        });
        assert_eq!(error.to_string(), "JavaScript: TypeError: not a function");
    }
}
