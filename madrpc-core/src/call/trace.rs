//! The trace that a call belongs to (W3C Trace Context).

/// Bytes of one on the wire.
const BYTES: usize = 25;

/// A trace and the span in it that a call is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trace {
    /// The trace's number (`trace-id`), not 0.
    pub trace: u128,
    /// The caller's span (`parent-id`), not 0.
    pub parent: u64,
    /// Flags (`trace-flags`): 1 where the trace is recorded.
    pub flags: u8,
}

impl Trace {
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
    }
}
