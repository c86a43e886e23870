//! The headers of calls and replies, which nearly all frames are, byte for byte as postcard has them and in a third of its
//! time: numbers are put together in one piece and appended at once, eight bytes of a number in one go.
//!
//! What is not as usual, a header that cannot be read among it, is left to postcard.

use super::bill::Bill;
use super::frame::{Account, Header, Root};

/// The numbers of these kinds, which are their places in [`Header`].
const CALL: u8 = 0;
const REPLY: u8 = 2;

/// More than the numbers of a header take that stand side by side.
const NUMBERS_MAX_BYTES: usize = 64;

/// Appends the header, where it is one of those; says whether it was.
#[inline]
pub(super) fn write(out: &mut Vec<u8>, header: &Header<'_>) -> bool {
    let mut numbers = Numbers::new();
    match header {
        Header::Call {
            id,
            function,
            timeout_us,
            depth,
            account,
        } => {
            numbers.byte(CALL);
            numbers.varint(*id);
            numbers.varint(function.len() as u64);
            numbers.append_to(out);
            out.extend_from_slice(function.as_bytes());
            numbers.varint(*timeout_us);
            numbers.byte(*depth);
            numbers.account(account.as_ref());
            numbers.append_to(out);
        }
        Header::Reply { id, bill } => {
            numbers.byte(REPLY);
            numbers.varint(*id);
            numbers.varint(bill.queue_us);
            numbers.varint(bill.cpu_us);
            numbers.varint(bill.slices.into());
            numbers.varint(bill.heap_peak_bytes);
            numbers.varint(bill.shard.into());
            numbers.varint(bill.node.len() as u64);
            numbers.append_to(out);
            out.extend_from_slice(bill.node.as_bytes());
        }
        _ => return false,
    }
    true
}

/// The header at the start of `input`, and what comes after it, where it is one of those.
#[inline]
pub(crate) fn read(input: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let mut input = Input(input);
    let header = match input.byte()? {
        CALL => Header::Call {
            id: input.varint()?,
            function: input.text()?,
            timeout_us: input.varint()?,
            depth: input.byte()?,
            account: match input.byte()? {
                0 => None,
                1 => Some(input.account()?),
                _ => return None,
            },
        },
        REPLY => Header::Reply {
            id: input.varint()?,
            bill: Bill {
                queue_us: input.varint()?,
                cpu_us: input.varint()?,
                slices: input.varint_of()?,
                heap_peak_bytes: input.varint()?,
                shard: input.varint_of()?,
                node: input.text()?,
            },
        },
        _ => return None,
    };
    Some((header, input.0))
}

/// Numbers on their way out.
struct Numbers {
    bytes: [u8; NUMBERS_MAX_BYTES],
    length: usize,
}

impl Numbers {
    #[inline]
    fn new() -> Self {
        Self {
            bytes: [0; NUMBERS_MAX_BYTES],
            length: 0,
        }
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    #[inline]
    fn varint(&mut self, mut number: u64) {
        if (0x80..1 << 56).contains(&number)
            && let Some(places) = self.bytes[self.length..].first_chunk_mut()
        {
            let length = (u64::BITS - number.leading_zeros()).div_ceil(7);
            let marks = MARKS & ((1 << (8 * length - 8)) - 1);
            *places = (apart(number) | marks).to_le_bytes();
            self.length += length as usize;
            return;
        }
        while number >= 0x80 {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    #[inline]
    fn account(&mut self, account: Option<&Account>) {
        self.byte(account.is_some().into());
        if let Some(account) = account {
            self.varint(account.certificate.into());
            self.varint(account.session.into());
            self.byte(account.root.is_some().into());
            if let Some(root) = account.root {
                self.varint(root.id);
                self.varint(root.cpu_ms.into());
                self.varint(root.memory_kib.into());
            }
        }
    }

    #[inline]
    fn append_to(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..self.length]);
        self.length = 0;
    }
}

/// The bits that say of a byte that the number goes on.
const MARKS: u64 = 0x8080_8080_8080_8080;

/// Each seven of the lower 56 bits in a byte of their own.
#[inline]
const fn apart(bits: u64) -> u64 {
    let bits = bits & 0x0fff_ffff | (bits & 0xff_ffff_f000_0000) << 4;
    let bits = bits & 0x3fff_0000_3fff | (bits & 0x0fff_c000_0fff_c000) << 2;
    bits & 0x7f_007f_007f_007f | (bits & 0x3f80_3f80_3f80_3f80) << 1
}

/// The way back from [`apart`].
#[inline]
const fn together(bytes: u64) -> u64 {
    let bits = bytes & 0x7f_007f_007f_007f | (bytes & 0x7f00_7f00_7f00_7f00) >> 1;
    let bits = bits & 0x3fff_0000_3fff | (bits & 0x3fff_0000_3fff_0000) >> 2;
    bits & 0x0fff_ffff | (bits & 0x0fff_ffff_0000_0000) >> 4
}

/// What is to be read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    #[inline]
    fn varint(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first()?;
        if *first < 0x80 {
            self.0 = rest;
            return Some(u64::from(*first));
        }
        let ends = |bytes: &[u8; 8]| !u64::from_le_bytes(*bytes) & MARKS;
        if let Some(bytes) = self.0.first_chunk().filter(|bytes| ends(bytes) != 0) {
            let (number, ends) = (u64::from_le_bytes(*bytes), ends(bytes));
            let is_of_it = ends ^ (ends - 1);
            self.0 = &self.0[ends.trailing_zeros() as usize / 8 + 1..];
            return Some(together(number & is_of_it & !MARKS));
        }
        let mut number = 0;
        // The tenth byte would have bits that are too many.
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A number of fewer bits: postcard refuses one that takes more bytes than the largest.
    #[inline]
    fn varint_of<T: TryFrom<u64>>(&mut self) -> Option<T> {
        let before = self.0.len();
        let number = self.varint()?;
        let is_short = before - self.0.len() <= (8 * size_of::<T>()).div_ceil(7);
        number.try_into().ok().filter(|_| is_short)
    }

    #[inline]
    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    #[inline]
    fn account(&mut self) -> Option<Account> {
        Some(Account {
            certificate: self.varint_of()?,
            session: self.varint_of()?,
            root: match self.byte()? {
                0 => None,
                1 => Some(Root {
                    id: self.varint()?,
                    cpu_ms: self.varint_of()?,
                    memory_kib: self.varint_of()?,
                }),
                _ => return None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of each length that a varint may have, those next to a boundary among them.
    fn numbers() -> Vec<u64> {
        let powers = (0..64).map(|bits| 1_u64 << bits);
        let around = powers.flat_map(|power| [power - 1, power, power | 1]);
        around.chain([u64::MAX]).collect()
    }

    fn headers() -> Vec<Header<'static>> {
        let name = |number: u64| ["", "add", "na\u{ef}ve"][(number % 3) as usize];
        let mut headers = Vec::new();
        for number in numbers() {
            let root = Root {
                id: number,
                cpu_ms: number as u32,
                memory_kib: (number >> 3) as u32,
            };
            let account = Account {
                certificate: number as u32,
                session: (number >> 7) as u32,
                root: (number % 3 == 0).then_some(root),
            };
            headers.push(Header::Call {
                id: number,
                function: name(number),
                timeout_us: number.rotate_left(9),
                depth: number as u8,
                account: (number % 2 == 0).then_some(account),
            });
            headers.push(Header::Reply {
                id: number,
                bill: Bill {
                    queue_us: number.rotate_left(3),
                    cpu_us: number.rotate_left(31),
                    slices: number as u32,
                    heap_peak_bytes: number.rotate_left(17),
                    shard: number as u16,
                    node: name(number),
                },
            });
        }
        headers
    }

    #[test]
    fn what_is_written_is_what_postcard_writes() {
        for header in headers() {
            let mut out = vec![7];
            assert!(write(&mut out, &header));
            assert_eq!(
                out[1..],
                postcard::to_stdvec(&header).unwrap(),
                "{header:?}"
            );
        }
        assert!(!write(&mut Vec::new(), &Header::Cancel { id: 1 }));
    }

    #[test]
    fn what_is_read_is_what_postcard_reads_whatever_it_is() {
        let mut read_here = 0;
        let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
        for header in headers() {
            let whole = postcard::to_stdvec(&header).unwrap();
            let mut inputs: Vec<_> = (0..=whole.len()).map(|cut| whole[..cut].to_vec()).collect();
            for at in 0..whole.len() {
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                let mut changed = whole.clone();
                changed[at] = [0xff, 0x80, 0x00, chance as u8][at % 4];
                changed.extend_from_slice(&chance.to_le_bytes());
                inputs.push(changed);
                // Numbers that take more bytes than they need.
                for more in 0..10 {
                    let mut longer = whole[..at].to_vec();
                    longer.push(whole[at] | 0x80);
                    longer.extend(vec![0x80; more]);
                    longer.push(0);
                    longer.extend_from_slice(&whole[at + 1..]);
                    inputs.push(longer);
                }
            }
            for input in inputs {
                if let Some(here) = read(&input) {
                    read_here += 1;
                    assert_eq!(Ok(here), postcard::take_from_bytes::<Header<'_>>(&input));
                }
            }
            // A number of ten bytes is left to postcard.
            assert!(
                read(&whole).is_some() || whole.iter().filter(|byte| **byte >= 0x80).count() >= 9
            );
        }
        assert!(read_here > 1000);
    }
}
