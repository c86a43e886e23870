//! Packets and frames written by hand (RFC 9000, sections 17 and 19).

use super::keys::{Keys, NUMBER_BYTES, TAG_BYTES};
use crate::error::AbuseError;

const VERSION_1: u32 = 1;

/// The smallest datagram that may carry a client's Initial packet.
pub const INITIAL_BYTES: usize = 1200;

/// The type bits of a long header, with the two that are always set.
const INITIAL: u8 = 0xc0;
const RETRY: u8 = 0xf0;
const TYPE_BITS: u8 = 0xf0;

/// Bytes of a Retry packet's integrity tag.
const RETRY_TAG_BYTES: usize = 16;

/// Appends a variable-length integer in its shortest form (RFC 9000, section 16).
pub fn varint(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=0x3f => out.push(value as u8),
        0x40..=0x3fff => out.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        0x4000..=0x3fff_ffff => out.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
        _ => out.extend_from_slice(&(value | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}

/// Reads a variable-length integer and goes past it.
pub fn read_varint(input: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = input.split_first()?;
    let more = (1usize << (first >> 6)) - 1;
    let mut value = u64::from(first & 0x3f);
    for byte in rest.get(..more)? {
        value = value << 8 | u64::from(*byte);
    }
    *input = &rest[more..];
    Some(value)
}

/// Frames, one after the other.
#[derive(Debug, Default, Clone)]
pub struct Frames(pub Vec<u8>);

impl Frames {
    /// Asks for an acknowledgement.
    pub fn ping(&mut self) -> &mut Self {
        self.0.push(0x01);
        self
    }

    /// Acknowledges the packets up to `largest`, all of them.
    pub fn ack(&mut self, largest: u64) -> &mut Self {
        self.numbers(0x02, &[largest, 0, 0, largest])
    }

    /// A piece of the TLS handshake.
    pub fn crypto(&mut self, offset: u64, data: &[u8]) -> &mut Self {
        self.numbers(0x06, &[offset, data.len() as u64]);
        self.0.extend_from_slice(data);
        self
    }

    /// A piece of a stream.
    pub fn stream(&mut self, stream: u64, offset: u64, data: &[u8]) -> &mut Self {
        self.numbers(0x0e, &[stream, offset, data.len() as u64]);
        self.0.extend_from_slice(data);
        self
    }

    /// Asks whether the peer is at the address that the packet goes to.
    pub fn path_challenge(&mut self, data: [u8; 8]) -> &mut Self {
        self.0.push(0x1a);
        self.0.extend_from_slice(&data);
        self
    }

    /// Issues a connection ID and asks for all before it to be retired.
    pub fn new_connection_id(&mut self, sequence: u64, id: &[u8; 16]) -> &mut Self {
        self.numbers(0x18, &[sequence, sequence, id.len() as u64]);
        self.0.extend_from_slice(id);
        self.0.extend_from_slice(id);
        self
    }

    /// QUIC's own close, not the application's.
    pub fn close(&mut self, code: u64, reason: &str) -> &mut Self {
        self.numbers(0x1c, &[code, 0, reason.len() as u64]);
        self.0.extend_from_slice(reason.as_bytes());
        self
    }

    fn numbers(&mut self, kind: u8, numbers: &[u64]) -> &mut Self {
        self.0.push(kind);
        for number in numbers {
            varint(&mut self.0, *number);
        }
        self
    }
}

/// The connection IDs and the token in the header of a client's Initial.
#[derive(Debug, Clone, Copy)]
pub struct InitialHeader<'a> {
    /// Destination connection ID.
    pub destination: &'a [u8],
    /// Source connection ID.
    pub source: &'a [u8],
    /// Token; empty where there is none.
    pub token: &'a [u8],
}

impl InitialHeader<'_> {
    /// Bytes that frames may take in one datagram of [`INITIAL_BYTES`].
    pub fn room(&self) -> usize {
        let mut header = Vec::new();
        self.write(&mut header, 0);
        INITIAL_BYTES - header.len() - NUMBER_BYTES - TAG_BYTES
    }

    /// An Initial packet with these frames, padded to a whole datagram of [`INITIAL_BYTES`].
    pub fn seal(
        &self,
        keys: &mut Keys,
        number: u32,
        frames: &Frames,
    ) -> Result<Vec<u8>, AbuseError> {
        let mut packet = Vec::with_capacity(INITIAL_BYTES);
        let number_at = self.begin(&mut packet, number, &frames.0);
        keys.seal(&mut packet, number_at, number)?;
        Ok(packet)
    }

    /// An Initial packet as [`Self::seal`] makes it, with bytes of chance where its protected payload would be.
    pub fn broken(&self, random: &mut fastrand::Rng) -> Vec<u8> {
        let mut packet = Vec::with_capacity(INITIAL_BYTES);
        let number_at = self.begin(&mut packet, 0, &[]);
        packet.extend_from_slice(&[0; TAG_BYTES]);
        random.fill(&mut packet[number_at..]);
        packet
    }

    fn begin(&self, packet: &mut Vec<u8>, number: u32, frames: &[u8]) -> usize {
        let payload = self.room().max(frames.len());
        self.write(packet, NUMBER_BYTES + payload + TAG_BYTES);
        let number_at = packet.len();
        packet.extend_from_slice(&number.to_be_bytes());
        packet.extend_from_slice(frames);
        packet.resize(number_at + NUMBER_BYTES + payload, 0);
        number_at
    }

    fn write(&self, out: &mut Vec<u8>, length: usize) {
        out.push(INITIAL | (NUMBER_BYTES - 1) as u8);
        out.extend_from_slice(&VERSION_1.to_be_bytes());
        for id in [self.destination, self.source] {
            out.push(id.len() as u8);
            out.extend_from_slice(id);
        }
        varint(out, self.token.len() as u64);
        out.extend_from_slice(self.token);
        // Always in two bytes, so that its own length is known before.
        out.extend_from_slice(&(length as u16 | 0x4000).to_be_bytes());
    }
}

/// A packet with a short header and these frames.
pub fn seal_short(
    keys: &mut Keys,
    destination: &[u8],
    number: u32,
    frames: &Frames,
) -> Result<Vec<u8>, AbuseError> {
    let mut packet = vec![0x40 | (NUMBER_BYTES - 1) as u8];
    packet.extend_from_slice(destination);
    let number_at = packet.len();
    packet.extend_from_slice(&number.to_be_bytes());
    packet.extend_from_slice(&frames.0);
    keys.seal(&mut packet, number_at, number)?;
    Ok(packet)
}

/// The server's connection ID and its token, if the datagram is a Retry packet (RFC 9000, section 17.2.5).
pub fn read_retry(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = datagram.split_first()?;
    if first & TYPE_BITS != RETRY {
        return None;
    }
    let mut rest = rest.get(4..)?;
    let mut ids = [&[][..]; 2];
    for id in &mut ids {
        let (&length, after) = rest.split_first()?;
        (*id, rest) = after.split_at_checked(usize::from(length))?;
    }
    let token = rest.get(..rest.len().checked_sub(RETRY_TAG_BYTES)?)?;
    Some((ids[1], token))
}

/// Where the packet number of an Initial packet is, where its packet ends, and the source ID.
pub fn read_initial(datagram: &[u8]) -> Option<(usize, usize, &[u8])> {
    let (first, mut rest) = datagram.split_first()?;
    if first & TYPE_BITS != INITIAL {
        return None;
    }
    rest = rest.get(4..)?;
    let mut ids = [&[][..]; 2];
    for id in &mut ids {
        let (&length, after) = rest.split_first()?;
        (*id, rest) = after.split_at_checked(usize::from(length))?;
    }
    let token = read_varint(&mut rest)? as usize;
    rest = rest.get(token..)?;
    let length = read_varint(&mut rest)? as usize;
    let number_at = datagram.len() - rest.len();
    let end = number_at.checked_add(length)?;
    (end <= datagram.len()).then_some((number_at, end, ids[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_read_back() {
        for value in [0, 63, 64, 16_383, 16_384, (1 << 30) - 1, 1 << 30, 1 << 61] {
            let mut bytes = Vec::new();
            varint(&mut bytes, value);
            let mut rest = &bytes[..];
            assert_eq!(read_varint(&mut rest), Some(value));
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn an_initial_fills_its_datagram_and_is_read_back() {
        let header = InitialHeader {
            destination: &[1; 16],
            source: &[2; 16],
            token: &[3; 70],
        };
        let mut keys = Keys::of_client(&[1; 16]).unwrap();
        let mut frames = Frames::default();
        frames.crypto(5, b"hello");
        let mut packet = header.seal(&mut keys, 1, &frames).unwrap();
        assert_eq!(packet.len(), INITIAL_BYTES);
        let (number_at, end, source) = read_initial(&packet).unwrap();
        assert_eq!((end, source), (INITIAL_BYTES, &[2; 16][..]));
        let (number, payload) = keys.open(&mut packet, number_at).unwrap().unwrap();
        assert_eq!(number, 1);
        assert_eq!(payload[..8], [0x06, 5, 5, b'h', b'e', b'l', b'l', b'o']);
        assert!(payload[8..].iter().all(|byte| *byte == 0));
    }
}
