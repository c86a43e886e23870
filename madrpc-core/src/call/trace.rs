//! The trace that a call belongs to (W3C Trace Context).

use std::fmt;
use std::str::FromStr;

/// Bytes of one on the wire.
const BYTES: usize = 25;

/// Characters of a `traceparent` of version 00, and of those fields of any later one (section 3.2.4).
const TEXT_BYTES: usize = 55;

/// The flag of a trace that is recorded, and all that are known (`sampled`, `random-trace-id`): others mean nothing yet, and are
/// not passed on.
const SAMPLED: u8 = 1;
const KNOWN_FLAGS: u8 = 3;

/// A flag of our own, which is on the wire only: nobody has decided whether the trace is recorded, it was begun for the lines of logs.
const UNDECIDED: u8 = 1 << 7;

/// A trace and the span in it that a call is made from.
///
/// As text it is a `traceparent`: `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa01902b71-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trace {
    /// The trace's number (`trace-id`), not 0.
    pub trace: u128,
    /// The caller's span (`parent-id`), not 0.
    pub parent: u64,
    /// Flags (`trace-flags`): 1 where the trace is recorded. Those of [`Trace::undecided`] are not the recommendation's.
    pub flags: u8,
}

/// A text is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no traceparent (W3C Trace Context): 00-, 32 hexadecimal digits, -, 16, -, and 2, in small letters, and neither of the first two all 0"
)]
pub struct NoTrace;

impl Trace {
    /// Whether its spans are recorded.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// One of which nobody has decided whether it is recorded: it is there so that all lines of logs about a call have one number. Who
    /// records a share of the calls without a trace takes it of those with such a one, too. As text it is one that is not recorded.
    #[must_use]
    pub const fn undecided(trace: u128, parent: u64) -> Self {
        Self {
            trace,
            parent,
            flags: UNDECIDED,
        }
    }

    /// Whether somebody has decided if it is recorded.
    #[must_use]
    pub const fn is_decided(self) -> bool {
        self.flags & (UNDECIDED | SAMPLED) != UNDECIDED
    }

    /// As it goes on the wire: 16 bytes, 8 bytes, big endian, and the flags.
    #[must_use]
    pub fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..16].copy_from_slice(&self.trace.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.parent.to_be_bytes());
        bytes[24] = self.flags;
        bytes
    }

    /// What [`Trace::to_bytes`] gave; `None` where it is not that, or a number is 0 (W3C Trace Context, section 3.2.2).
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let (trace, rest) = bytes.split_first_chunk::<16>()?;
        let (parent, flags) = rest.split_first_chunk::<8>()?;
        let trace = Self {
            trace: u128::from_be_bytes(*trace),
            parent: u64::from_be_bytes(*parent),
            flags: *flags.first()?,
        };
        (trace.trace != 0 && trace.parent != 0).then_some(trace)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace,
            parent,
            flags,
        } = self;
        let flags = flags & KNOWN_FLAGS;
        write!(f, "00-{trace:032x}-{parent:016x}-{flags:02x}")
    }
}

impl FromStr for Trace {
    type Err = NoTrace;

    /// # Errors
    /// Where the text is no `traceparent`. Of a version that is not known the fields of version 00 are read, and what follows them
    /// is left.
    fn from_str(text: &str) -> Result<Self, NoTrace> {
        read(text.as_bytes()).ok_or(NoTrace)
    }
}

fn read(text: &[u8]) -> Option<Trace> {
    let (known, rest) = text.split_at_checked(TEXT_BYTES)?;
    let fields: Vec<&[u8]> = known.split(|byte| *byte == b'-').collect();
    let &[version, trace, parent, flags] = fields.as_slice() else {
        return None;
    };
    let lengths = [version, trace, parent, flags].map(<[u8]>::len);
    if lengths != [2, 32, 16, 2] {
        return None;
    }
    let is_whole = match number(version)? {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.first().is_none_or(|byte| *byte == b'-'),
    };
    let trace = Trace {
        trace: number(trace)?,
        parent: u64::try_from(number(parent)?).ok()?,
        flags: u8::try_from(number(flags)?).ok()? & KNOWN_FLAGS,
    };
    (is_whole && trace.trace != 0 && trace.parent != 0).then_some(trace)
}

/// The number that small hexadecimal digits are, 32 at the most.
fn number(digits: &[u8]) -> Option<u128> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    // `from_str_radix` takes a sign and large letters too.
    let digits = std::str::from_utf8(digits).ok()?;
    let are_digits = digits.as_bytes().iter().all(is_digit);
    are_digits
        .then(|| u128::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_reads_back_and_what_is_none_does_not() {
        let trace = Trace {
            trace: 1 << 100 | 7,
            parent: 9,
            flags: 1,
        };
        assert_eq!(Trace::from_bytes(&trace.to_bytes()), Some(trace));
        assert_eq!(Trace::from_bytes(&trace.to_bytes()[1..]), None);
        assert_eq!(Trace::from_bytes(&[0; BYTES]), None);
        assert_eq!(trace.to_string().parse(), Ok(trace));
    }

    #[test]
    fn that_nobody_has_decided_is_known_on_the_wire_and_not_shown() {
        let trace = Trace::undecided(7, 9);
        let read = Trace::from_bytes(&trace.to_bytes()).unwrap();
        assert!(!read.is_decided() && !read.is_sampled());
        let shown: Trace = read.to_string().parse().unwrap();
        assert_eq!((shown.trace, shown.parent, shown.flags), (7, 9, 0));
        for flags in [0, 1, 2, 3, UNDECIDED | SAMPLED] {
            assert!(Trace { flags, ..trace }.is_decided(), "{flags}");
        }
    }

    #[test]
    fn text_is_read_as_the_recommendation_says() {
        const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa01902b71";
        let read = |text: &str| text.parse::<Trace>().ok().map(|trace| trace.to_string());
        for (text, flags) in [
            (format!("00-{ID}-01"), 1),
            (format!("00-{ID}-00"), 0),
            // Flags that mean nothing yet.
            (format!("00-{ID}-ff"), 3),
            // Later versions, with and without more.
            (format!("01-{ID}-01"), 1),
            (format!("fe-{ID}-01-what-else"), 1),
        ] {
            assert_eq!(read(&text), Some(format!("00-{ID}-0{flags}")), "{text}");
        }
        for wrong in [
            String::new(),
            ID.to_owned(),
            format!("00-{ID}"),
            format!("00-{ID}-1"),
            format!("00-{ID}-01-"),
            format!("00-{ID}-011"),
            format!("01-{ID}-01what"),
            format!("ff-{ID}-01"),
            format!("0g-{ID}-01"),
            format!("00-{}-01", ID.to_uppercase()),
            format!("00-+{}-01", &ID[1..]),
            format!("00-{ID}-+1"),
            format!(" 00-{ID}-01"),
            format!("00_{ID}-01"),
            format!("00-{:032x}-00f067aa01902b71-01", 0),
            format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{:016x}-01", 0),
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa01902b717-01".to_owned(),
            "00-4bf92f3577b34da6a3ce929d0e0e47é6-00f067aa01902b71-0".to_owned(),
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
    }
}
