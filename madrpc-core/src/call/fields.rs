//! Fields: what a frame may say beside its header, and what a reader that does not know it skips.
//!
//! ```text
//! fields = length: varint | (number: varint | length: varint | that many bytes)*
//! ```
//!
//! Whether a frame has any stands in its length. So a header can have a field more without another version of the protocol: who does not know its number goes on behind
//! it. Numbers mean something by the kind of frame, are given once and never to something else, and come in any order; of one
//! that is there twice the first counts, and one whose bytes cannot be read counts as not there.

use super::trace::Trace;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The fields of a frame as they are on the wire, without their length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fields<'a>(pub &'a [u8]);

/// The numbers of a call's fields.
mod call {
    pub(super) const ATTEMPT: u32 = 1;
    pub(super) const MAY_REPEAT: u32 = 2;
    pub(super) const TRACE: u32 = 3;
    pub(super) const KEY: u32 = 5;
    pub(super) const CREDIT: u32 = 6;
    pub(super) const NODES_LOST: u32 = 7;
    pub(super) const ABOVE: u32 = 8;
}

/// The numbers of a reply's fields, and of a failure's.
mod reply {
    pub(super) const LOAD: u32 = 1;
    pub(super) const RETRY_AFTER_MS: u32 = 2;
    pub(super) const OF_CALLER: u32 = 3;
    pub(super) const NODES_LOST: u32 = 4;
}

/// What a call may say beside its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallFields<'a> {
    /// Which try it is: 0 for the first.
    pub attempt: u8,
    /// It may run twice, whatever its function was registered as.
    pub may_repeat: bool,
    /// The trace that it belongs to.
    pub trace: Option<Trace>,
    /// Calls of the same key go to the same node, where the orchestrator balances by keys.
    pub key: Option<&'a [u8]>,
    /// Frames of items that the caller takes where the function streams; without any it is none that takes items.
    pub credit: u32,
    /// How many nodes were lost that it was on before, by others who have made it, or a call that it is a part of.
    pub nodes_lost: u8,
    /// The nodes that the calls above it are on.
    pub above: NodesAbove<'a>,
}

/// Nodes that the calls above a call are on: four bytes of each one's number, its `instance` in the frame of welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodesAbove<'a>(pub &'a [u8]);

impl NodesAbove<'_> {
    /// As many as are told: those nearest.
    pub const MAX: usize = 16;

    /// The bytes of a node.
    #[must_use]
    pub const fn bytes_of(instance: u64) -> [u8; 4] {
        (instance as u32).to_le_bytes()
    }

    /// Whether a call above is on this node.
    #[must_use]
    pub fn contains(self, instance: u64) -> bool {
        let mut all = self.0.as_chunks::<4>().0.iter().take(Self::MAX);
        all.any(|one| *one == Self::bytes_of(instance))
    }
}

/// What an answer may say beside its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplyFields {
    /// What its shard has to do.
    pub load: Option<Load>,
    /// When it is worth while to try again, in milliseconds; beside `Overloaded`.
    pub retry_after_ms: Option<u32>,
    /// It was refused for what its caller has had, which says nothing of the shard; beside `Overloaded`.
    pub of_caller: bool,
    /// How many nodes were lost that the call was on; beside `Unavailable`.
    pub nodes_lost: u8,
}

/// What a shard of a node has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Load {
    /// Calls that have begun and not ended, those that wait for something included.
    pub running: u32,
    /// Calls that wait for a lane.
    pub queued: u32,
    /// The time on the core that all of them are expected to take, in microseconds.
    pub expected_us: u64,
    /// Lanes that the next call would not have to wait for.
    pub free_lanes: u32,
}

impl Load {
    /// The greater, the busier.
    #[must_use]
    pub const fn work(&self) -> (u64, u32) {
        (self.expected_us, self.running)
    }
}

impl<'a> Fields<'a> {
    /// No fields.
    pub const NONE: Self = Self(&[]);

    /// Whether there are none: most frames have none.
    #[must_use]
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The numbers and the bytes of all, as far as they can be read.
    fn each(self) -> impl Iterator<Item = (u32, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (field, after) = postcard::take_from_bytes::<(u32, &[u8])>(rest).ok()?;
            rest = after;
            Some(field)
        })
    }

    /// The bytes of the field with this number.
    fn bytes(self, number: u32) -> Option<&'a [u8]> {
        let found = self.each().find(|(found, _)| *found == number);
        found.map(|(_, bytes)| bytes)
    }

    fn read<T: DeserializeOwned>(self, number: u32) -> Option<T> {
        read(self.bytes(number)?)
    }

    /// What a call says in them.
    #[must_use]
    #[inline]
    pub fn of_call(self) -> CallFields<'a> {
        match self.is_empty() {
            true => CallFields::default(),
            false => self.of_call_with_some(),
        }
    }

    /// In one pass: a call that another call has made has several.
    fn of_call_with_some(self) -> CallFields<'a> {
        let (mut said, mut seen) = (CallFields::default(), 0_u32);
        for (number, bytes) in self.each() {
            let bit = 1_u32.checked_shl(number).unwrap_or_default();
            if seen & bit != 0 {
                continue;
            }
            seen |= bit;
            match number {
                call::ATTEMPT => said.attempt = read(bytes).unwrap_or_default(),
                call::MAY_REPEAT => said.may_repeat = read(bytes).unwrap_or_default(),
                call::TRACE => said.trace = Trace::from_bytes(bytes),
                call::KEY => said.key = Some(bytes),
                call::CREDIT => said.credit = read(bytes).unwrap_or_default(),
                call::NODES_LOST => said.nodes_lost = read(bytes).unwrap_or_default(),
                call::ABOVE => said.above = NodesAbove(bytes),
                _ => {}
            }
        }
        said
    }

    /// The nodes that the calls above a call are on.
    #[must_use]
    pub fn above(self) -> NodesAbove<'a> {
        NodesAbove(self.bytes(call::ABOVE).unwrap_or_default())
    }

    /// The trace that a call belongs to.
    #[must_use]
    pub fn trace(self) -> Option<Trace> {
        self.bytes(call::TRACE).and_then(Trace::from_bytes)
    }

    /// Appends what an answer says in them, but for the load, which is told to the next server only.
    pub fn write_without_load(self, out: &mut Vec<u8>) {
        for (number, bytes) in self.each().filter(|(number, _)| *number != reply::LOAD) {
            raw(out, number, bytes);
        }
    }

    /// What an answer says in them.
    #[must_use]
    pub fn of_reply(self) -> ReplyFields {
        if self.is_empty() {
            return ReplyFields::default();
        }
        ReplyFields {
            load: self.read(reply::LOAD),
            retry_after_ms: self.read(reply::RETRY_AFTER_MS),
            of_caller: self.read(reply::OF_CALLER).unwrap_or_default(),
            nodes_lost: self.read(reply::NODES_LOST).unwrap_or_default(),
        }
    }
}

impl CallFields<'_> {
    /// Appends them as they go on the wire.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.attempt > 0 {
            field(out, call::ATTEMPT, &self.attempt);
        }
        if self.may_repeat {
            field(out, call::MAY_REPEAT, &true);
        }
        if let Some(trace) = &self.trace {
            raw(out, call::TRACE, &trace.to_bytes());
        }
        if let Some(key) = self.key {
            raw(out, call::KEY, key);
        }
        if self.credit > 0 {
            field(out, call::CREDIT, &self.credit);
        }
        if self.nodes_lost > 0 {
            field(out, call::NODES_LOST, &self.nodes_lost);
        }
        if !self.above.0.is_empty() {
            raw(out, call::ABOVE, self.above.0);
        }
    }
}

impl ReplyFields {
    /// Appends them as they go on the wire.
    pub fn write(&self, out: &mut Vec<u8>) {
        if let Some(load) = &self.load {
            field(out, reply::LOAD, load);
        }
        if let Some(after) = &self.retry_after_ms {
            field(out, reply::RETRY_AFTER_MS, after);
        }
        if self.of_caller {
            field(out, reply::OF_CALLER, &true);
        }
        if self.nodes_lost > 0 {
            field(out, reply::NODES_LOST, &self.nodes_lost);
        }
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}

fn field<T: Serialize>(out: &mut Vec<u8>, number: u32, value: &T) {
    let mut bytes = [0; 48];
    // Numbers only: the largest, a load, takes 20 bytes.
    if let Ok(bytes) = postcard::to_slice(value, &mut bytes) {
        raw(out, number, bytes);
    }
}

fn raw(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    // Appending to a Vec cannot fail.
    let _ = postcard::to_io(&(number, bytes), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: CallFields<'_> = CallFields {
        attempt: 2,
        may_repeat: true,
        trace: Some(Trace {
            trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            parent: 0x00f0_67aa_0ba9_02b7,
            flags: 1,
        }),
        key: Some(b"user 7"),
        credit: 256,
        nodes_lost: 1,
        above: NodesAbove(&[1, 2, 3, 4, 5, 6, 7, 8]),
    };

    #[test]
    fn fields_read_back_and_none_take_nothing() {
        let mut bytes = Vec::new();
        CallFields::default().write(&mut bytes);
        ReplyFields::default().write(&mut bytes);
        assert!(bytes.is_empty());
        CALL.write(&mut bytes);
        assert_eq!(Fields(&bytes).of_call(), CALL);
        let reply = ReplyFields {
            load: Some(Load {
                running: u32::MAX,
                queued: u32::MAX,
                expected_us: u64::MAX,
                free_lanes: u32::MAX,
            }),
            retry_after_ms: Some(250),
            of_caller: true,
            nodes_lost: 2,
        };
        let mut bytes = Vec::new();
        reply.write(&mut bytes);
        assert_eq!(Fields(&bytes).of_reply(), reply);
        raw(&mut bytes, 77, b"from a later version");
        let mut passed_on = Vec::new();
        Fields(&bytes).write_without_load(&mut passed_on);
        let load = None;
        assert_eq!(Fields(&passed_on).of_reply(), ReplyFields { load, ..reply });
        assert_eq!(
            Fields(&passed_on).bytes(77),
            Some(&b"from a later version"[..])
        );
    }

    #[test]
    fn nodes_above_are_told_from_others() {
        let above = CALL.above;
        assert!(above.contains(0x0403_0201) && above.contains(0xabcd_0000_0807_0605));
        assert!(!above.contains(0x0504_0302) && !above.contains(0));
        assert!(!NodesAbove(&[1, 2, 3]).contains(0x0003_0201));
    }

    #[test]
    fn what_is_not_known_is_skipped_wherever_it_stands() {
        let mut bytes = Vec::new();
        raw(&mut bytes, 77, b"from a later version");
        CALL.write(&mut bytes);
        raw(&mut bytes, u32::MAX, &[0; 300]);
        assert_eq!(Fields(&bytes).of_call(), CALL);
    }

    #[test]
    fn of_one_that_is_there_twice_the_first_counts() {
        let mut bytes = Vec::new();
        raw(&mut bytes, call::MAY_REPEAT, &[9]);
        CALL.write(&mut bytes);
        CallFields {
            attempt: 7,
            nodes_lost: 7,
            key: Some(b"another"),
            credit: 7,
            above: NodesAbove(&[7; 4]),
            ..CALL
        }
        .write(&mut bytes);
        // The first cannot be read.
        let may_repeat = false;
        assert_eq!(Fields(&bytes).of_call(), CallFields { may_repeat, ..CALL });
        // Not taken for one whose number is 32 less.
        let mut bytes = Vec::new();
        raw(&mut bytes, 32 + call::KEY, b"another");
        CALL.write(&mut bytes);
        assert_eq!(Fields(&bytes).of_call(), CALL);
    }

    #[test]
    fn what_cannot_be_read_counts_as_not_there() {
        for cut in 0..40 {
            let mut bytes = Vec::new();
            CALL.write(&mut bytes);
            bytes.truncate(cut);
            // It must end, and what it finds is of the whole.
            let read = Fields(&bytes).of_call();
            assert!(read.attempt == 0 || read.attempt == CALL.attempt);
            assert!(read.trace.is_none() || read.trace == CALL.trace);
        }
        let mut bytes = Vec::new();
        raw(&mut bytes, call::TRACE, &[1; 7]);
        raw(&mut bytes, call::MAY_REPEAT, &[9]);
        assert_eq!(Fields(&bytes).of_call(), CallFields::default());
    }
}
